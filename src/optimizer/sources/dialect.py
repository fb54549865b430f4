"""How a text file is written: encoding, delimiter, decimal mark and lines above the header."""

from __future__ import annotations

import gzip
import logging
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from optimizer.core.errors import ConfigError, SourceError

_log = logging.getLogger(__name__)
SAMPLE_BYTES = 1 << 15
SAMPLE_LINES = 100
BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
DELIMITERS = (",", ";", "\t", "|")
DECIMAL_COMMA = re.compile(r"^[-+]?(\d{1,3}(\.\d{3})+|\d+),\d+\s*\D{0,4}$")


@dataclass(frozen=True)
class Dialect:
    """How the cells of a text file are written.

    Parameters
    ----------
    delimiter : str
        What separates the cells.
    decimal : str
        ``.`` or ``,``; the other one may group thousands.
    encoding : str
        A name that Python knows.
    skip_rows : int
        Lines above the header.
    """

    delimiter: str = ","
    decimal: str = "."
    encoding: str = "utf8"
    skip_rows: int = 0


PLAIN = Dialect()


def _is_encoding(value: object) -> bool:
    try:
        "".encode(str(value))
    except LookupError:
        return False
    return isinstance(value, str)


RULES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "delimiter": ("one character", lambda value: isinstance(value, str) and len(value) == 1),
    "decimal": ("'.' or ','", lambda value: value in (".", ",")),
    "encoding": ("an encoding such as utf8 or cp1252", _is_encoding),
    "skip_rows": (
        "a whole number of lines, 0 or more",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    ),
}
"""What each key of ``data.dialect`` may be."""


def check_dialect(given: Mapping[str, object]) -> None:
    """Check ``data.dialect``; a value that is None is told from the file.

    Raises
    ------
    ConfigError
        A key is unknown, or a value none that a file can have.
    """
    for key, value in given.items():
        name = f"data.dialect.{key}"
        if key not in RULES:
            raise ConfigError(
                name, seen=repr(value), allowed=", ".join(RULES), fix="use one of these keys"
            )
        what, is_sound = RULES[key]
        if value is not None and not is_sound(value):
            raise ConfigError(name, seen=repr(value), allowed=f"{what}, or null", fix=f"set {name}")


def tell_dialects(files: Sequence[Path], given: Mapping[str, object]) -> dict[Path, Dialect]:
    """Return how text files are written; what differs from a plain CSV file is logged.

    The beginning of a file is shown to DuckDB's sniffer (Mühleisen and others, "Multi-hypothesis
    CSV parsing", SSDBM 2017); files with the same first line are written alike.

    Parameters
    ----------
    files : sequence of pathlib.Path
        CSV or TSV, gzip allowed.
    given : mapping
        ``data.dialect``: what is not None there is taken as it is.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    known = {key: value for key, value in given.items() if value is not None}
    judged: dict[tuple[str, str], Dialect] = {}
    found = {}
    for file in files:
        text, encoding = _beginning(file)
        alike = text.partition("\n")[0], encoding
        if alike not in judged:
            judged[alike] = replace(_sniff(text, encoding), **known)  # type: ignore[arg-type]
            _tell(file, judged[alike])
        found[file] = judged[alike]
    return found


def _tell(file: Path, dialect: Dialect) -> None:
    plain = asdict(PLAIN)
    odd = [f"{key} {value!r}" for key, value in asdict(dialect).items() if value != plain[key]]
    if odd:
        _log.info("%s: read with %s (data.dialect)", file.name, ", ".join(odd))


def _beginning(file: Path) -> tuple[str, str]:
    """Return the first lines of a file as text, and their encoding."""
    try:
        opener = gzip.open if file.name.lower().endswith(".gz") else open
        with opener(file, "rb") as stream:
            raw = bytes(stream.read(SAMPLE_BYTES))
    except (OSError, EOFError) as error:
        raise SourceError(
            f"data.path: {file}",
            seen=f"unreadable: {error}",
            allowed="an intact CSV or Parquet file with a header",
            fix="export the file again",
        ) from error
    encoding = _encoding_of(raw)
    text = raw.decode(encoding, errors="replace").lstrip("\ufeff")
    whole = text if len(raw) < SAMPLE_BYTES else text[: text.rfind("\n") + 1]
    return "".join(whole.splitlines(keepends=True)[:SAMPLE_LINES]), encoding


def _encoding_of(raw: bytes) -> str:
    if raw[:2] in BYTE_ORDER_MARKS:
        return "utf-16"
    if b"\0" in raw[:200]:
        return "utf-16-le" if raw[1:2] == b"\0" else "utf-16-be"
    try:
        raw[: raw.rfind(b"\n") + 1 or len(raw)].decode("utf8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf8"


def _sniff(text: str, encoding: str) -> Dialect:
    """Return the dialect of a sample."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="optimizer-") as folder:
        sample = Path(folder) / "sample.csv"
        sample.write_text(text, encoding="utf8")
        query = "SELECT Delimiter, SkipRows FROM sniff_csv(?, all_varchar=true)"
        try:
            with duckdb.connect() as connection:
                found = connection.execute(query, [str(sample)]).fetchone()
        except duckdb.Error:
            found = None  # one column only, or broken lines: the reader says what is wrong
    delimiter, skipped = found or (",", 0)
    lines = text.splitlines()[skipped:] or [""]
    if delimiter not in lines[0]:  # the sniffer would rather see one column than broken lines
        delimiter = max(DELIMITERS, key=lines[0].count)
    return Dialect(
        delimiter=delimiter,
        decimal="," if delimiter != "," and _has_decimal_commas(lines[1:200], delimiter) else ".",
        encoding=encoding,
        skip_rows=int(skipped),
    )


def _has_decimal_commas(lines: list[str], delimiter: str) -> bool:
    cells = [cell.strip().strip('"') for line in lines for cell in line.split(delimiter)]
    return any(DECIMAL_COMMA.match(cell) for cell in cells) and not any(
        re.match(r"^[-+]?\d+\.\d+$", cell) and not re.match(r"^[-+]?\d{1,3}(\.\d{3})+$", cell)
        for cell in cells
    )
