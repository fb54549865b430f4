"""Telemetry files: finding them, reading CSV and Parquet, and telling when they changed."""

from __future__ import annotations

import glob
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from optimizer.core.errors import SchemaError, SourceError
from optimizer.sources.dialect import PLAIN, Dialect

CSV_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
MISSING = (
    "", "-", "--", "nan", "NaN", "NAN", "-nan", "-NaN", "na", "NA", "n/a", "N/A", "#N/A", "null",
    "NULL", "Null", "nil", "none", "None", "NONE", "undefined", "missing", "<NA>", "?", "\\N",
)  # fmt: skip
"""How a cell that was not measured is spelled; in columns of ids these are names."""


def find_files(path: str, suffixes: tuple[str, ...] = ()) -> list[Path]:
    """Return the files of ``data.path``: a file, a directory (searched deeply) or a glob.

    Parameters
    ----------
    path : str
        ``data.path``; ``~`` is the home directory.
    suffixes : tuple of str
        Endings to keep in a directory; none keeps all but hidden files.

    Returns
    -------
    list of pathlib.Path
        Sorted by path, none of them empty.

    Raises
    ------
    SourceError
        Nothing is there, or a file is empty.
    """
    root = Path(path).expanduser()
    if root.is_file():
        found = [root]
    elif root.is_dir():
        found = [p for p in root.rglob("*") if _wanted(p, suffixes)]
    else:
        found = [p for p in map(Path, glob.glob(str(root), recursive=True)) if p.is_file()]  # noqa: PTH207  absolute patterns
    if not found:
        what = f"files ending in {', '.join(suffixes)}" if suffixes else "files"
        raise SourceError(
            f"data.path={path}",
            seen="no such file" if not root.is_dir() else f"a directory without {what}",
            allowed=f"a file, a directory or a glob with {what}",
            fix="correct data.path; it is relative to where the command was started",
        )
    empty = next((p for p in found if p.stat().st_size == 0), None)
    if empty is not None:
        raise SourceError(
            f"data.path: {empty}",
            seen="an empty file",
            allowed="a file with rows",
            fix="remove the file or export it again",
        )
    return sorted(found)


def _wanted(path: Path, suffixes: tuple[str, ...]) -> bool:
    if path.name.startswith(".") or not path.is_file():
        return False
    return not suffixes or path.name.lower().endswith(suffixes)


def fingerprint(arguments: Mapping[str, object], files: Sequence[Path]) -> str:
    """Return the arguments and each file's name, size and content hash as JSON.

    Parameters
    ----------
    arguments : mapping
        Resolved arguments of the source.
    files : sequence of pathlib.Path
        All files that it reads.
    """
    held = []
    for file in files:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        held.append([file.name, file.stat().st_size, digest])
    return json.dumps({"arguments": dict(arguments), "files": held}, sort_keys=True, default=str)


def name_of(path: str) -> str:
    """Return the stem of a path, or of its deepest folder if the last part is a pattern."""
    parts = [part for part in Path(path).parts if not glob.has_magic(part)]
    if not parts:
        return "table"
    last = parts[-1] if len(parts) == len(Path(path).parts) else Path(parts[-1]).name
    for suffix in (*CSV_SUFFIXES[::-1], *PARQUET_SUFFIXES):
        last = last.removesuffix(suffix)
    return last


def is_text(file: Path) -> bool:
    """Tell whether a file is CSV or TSV by its ending."""
    return file.name.lower().endswith(CSV_SUFFIXES)


def column_names(file: Path, dialect: Dialect = PLAIN) -> list[str]:
    """Return the columns of a CSV or Parquet file with a header, without reading its rows.

    Raises
    ------
    SourceError
        The file is neither CSV nor Parquet, or is damaged.
    """
    try:
        if file.name.lower().endswith(PARQUET_SUFFIXES):
            return list(pa.parquet.read_schema(file).names)
        if is_text(file):
            read, parse = _options(dialect, None)
            return list(pa.csv.open_csv(file, read, parse).schema.names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(file, dialect, error) from error
    raise SourceError(
        f"data.path: {file}",
        seen=f"the ending {file.suffix or 'none'}",
        allowed=", ".join((*CSV_SUFFIXES, *PARQUET_SUFFIXES)),
        fix="convert the file to CSV or Parquet",
    )


def read_columns(
    file: Path,
    columns: Sequence[str],
    texts: Sequence[str],
    *,
    dialect: Dialect = PLAIN,
    names: Sequence[str] | None = None,
    missing: Sequence[str] = MISSING,
) -> pd.DataFrame:
    """Read some columns of a CSV or Parquet file, rows in the file's order.

    Parameters
    ----------
    file : pathlib.Path
        CSV (gzip allowed) or Parquet.
    columns : sequence of str
        Columns to read.
    texts : sequence of str
        Those of them that are ids: text of a CSV file is returned as ``category``.
    dialect : Dialect
        How a CSV file is written.
    names : sequence of str, optional
        Names of all columns of a CSV file without a header.
    missing : sequence of str
        Cells of the other columns that hold no value.

    Returns
    -------
    pandas.DataFrame
        Columns in the order asked for. A CSV column that does not parse as numbers is text.

    Raises
    ------
    SourceError
        The file is damaged; a line with too few or too many cells is named.
    """
    try:
        if file.name.lower().endswith(PARQUET_SUFFIXES):
            table = pa.parquet.read_table(file, columns=list(columns), read_dictionary=list(texts))
        else:
            table = _read_csv(file, columns, texts, dialect, names, missing)
        frame: pd.DataFrame = table.select(list(columns)).to_pandas(
            self_destruct=True, date_as_object=False
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(file, dialect, error) from error
    return frame


def scan_csv(
    file: Path, names: Sequence[str], columns: Sequence[str], key: str, keep: Sequence[str]
) -> pd.DataFrame:
    """Read the rows of a big CSV file without a header whose key is wanted, block by block.

    Parameters
    ----------
    file : pathlib.Path
        CSV, gzip allowed; memory holds the rows kept and one block.
    names : sequence of str
        Names of all columns.
    columns : sequence of str
        Columns to read; all but ``key`` are numbers.
    key : str
        Column of ids, returned as ``category``.
    keep : sequence of str
        Ids to keep.

    Raises
    ------
    SourceError
        The file is damaged.
    SchemaError
        A value is no number.
    """
    types = {name: pa.string() if name == key else pa.float64() for name in columns}
    convert = pa.csv.ConvertOptions(column_types=types, include_columns=list(columns))
    read = pa.csv.ReadOptions(column_names=list(names), use_threads=False)
    wanted = pa.array(keep, pa.string())
    try:
        blocks = pa.csv.open_csv(file, read, convert_options=convert)
        kept = [block.filter(pc.is_in(block[key], value_set=wanted)) for block in blocks]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _no_number(file, names, error) or _damaged(file, PLAIN, error) from error
    table = pa.Table.from_batches(kept)
    at = table.schema.get_field_index(key)
    table = table.set_column(at, key, table[key].dictionary_encode())
    frame: pd.DataFrame = table.unify_dictionaries().to_pandas()
    return frame


def _no_number(file: Path, names: Sequence[str], error: Exception) -> SchemaError | None:
    """Return the error for Arrow's complaint about text, if it is one."""
    said = re.search(r"column #(\d+): (?:Row #(\d+): )?.*invalid value '(.*)'", str(error))
    if said is None:
        return None
    column, row, value = said.groups()
    return SchemaError(
        f"{file}: column {names[int(column)]}",
        seen=f"text {value!r}" + (f" in row {row}" if row else ""),
        allowed="numbers; the file has no header",
        fix="remove the row, or the header, from the file",
    )


def _options(
    dialect: Dialect, names: Sequence[str] | None
) -> tuple[pa.csv.ReadOptions, pa.csv.ParseOptions]:
    read = pa.csv.ReadOptions(
        column_names=list(names) if names else None,
        encoding=dialect.encoding,
        skip_rows=dialect.skip_rows,
    )
    parse = pa.csv.ParseOptions(delimiter=dialect.delimiter, invalid_row_handler=_skip_comment)
    return read, parse


def _skip_comment(row: Any) -> str:
    return "skip" if row.text.lstrip().startswith("#") else "error"


def _read_csv(
    file: Path,
    columns: Sequence[str],
    texts: Sequence[str],
    dialect: Dialect,
    names: Sequence[str] | None,
    missing: Sequence[str],
) -> Any:
    read, parse = _options(dialect, names)
    types: dict[str, Any] = {name: pa.dictionary(pa.int32(), pa.string()) for name in texts}
    while True:
        convert = pa.csv.ConvertOptions(
            column_types=types,
            include_columns=list(columns),
            null_values=list(missing),
            decimal_point=dialect.decimal,
        )
        try:
            return pa.csv.read_csv(file, read, parse, convert)
        except pa.ArrowInvalid as error:
            # types are inferred from the first block; a column with text further down is read as
            # text, so that the caller can name the value and its row
            told = re.search(r"In CSV column #(\d+): .*conversion error", str(error))
            at = list(names or column_names(file, dialect))[int(told.group(1))] if told else None
            if at is None or types.get(at) == pa.string():
                raise
            types[at] = pa.string()


def _damaged(file: Path, dialect: Dialect, error: Exception) -> SourceError:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    if is_text(file) and (told := re.search(r"Expected (\d+) columns, got (\d+)", said)):
        line = _broken_line(file, dialect)
        return SourceError(
            f"data.path: {file}{f', line {line}' if line else ''}",
            seen=f"{told.group(2)} cells, split at {dialect.delimiter!r}",
            allowed=f"{told.group(1)} cells, as in its header",
            fix="mend or remove the line, or set data.dialect.delimiter, data.dialect.skip_rows",
        )
    return SourceError(
        f"data.path: {file}",
        seen=f"unreadable: {said}",
        allowed="an intact CSV or Parquet file with a header",
        fix="export the file again, or set data.dialect.encoding for text that is not UTF-8",
    )


def _broken_line(file: Path, dialect: Dialect) -> int | None:
    """Return the number of the first line with too few or too many cells, read block by block."""
    found: list[int] = []

    def note(row: Any) -> str:
        if _skip_comment(row) == "skip":
            return "skip"
        found.append(row.number)
        return "error"

    read, parse = _options(dialect, None)
    read.use_threads, parse.invalid_row_handler = False, note
    with suppress(pa.ArrowException, OSError, UnicodeDecodeError):
        for _ in pa.csv.open_csv(file, read, parse, pa.csv.ConvertOptions(column_types={})):
            pass
    return found[0] if found and found[0] else None
