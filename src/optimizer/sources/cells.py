"""Cells of text that spell a number: marks that group thousands, percent signs, SI suffixes."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from optimizer.core.errors import SchemaError

_log = logging.getLogger(__name__)
Floats = NDArray[np.float64]
TOLERATED = 0.01
"""Share of a column's cells that may be unreadable: each costs itself, and is told."""

SUFFIXES: dict[str, float] = (
    {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "": 1.0}
    | {letter: 1000.0**power for power, letter in enumerate("kMGTP", start=1)}
    | {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTP", start=1)}
    | {"K": 1000.0}
)
"""Factors of a Kubernetes quantity (``resource.Quantity``); ``ms`` is ``m`` of ``s``."""
CELL = (
    r"^(?P<number>[-+]?(?:[0-9][0-9., '_]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[iI]nf(?:inity)?)"
    r"\s*(?P<percent>%?)(?P<suffix>[KMGTP]i|[numµkKMGTP]?)"
    r"(?P<word>(?:B|[Bb]ytes?|[Cc]ores?|s|sec|Hz|B/s|Bps|[Bb]ytes/s|/s)?)$"
)
"""A number, a suffix and a unit; bits (``b``) are none, as they would be taken for bytes."""
SPELLED = {
    mark: re.compile(
        rf"^[-+]?(?:[0-9]+|[0-9]{{1,3}}(?:[{group} '_][0-9]{{3}})+)?(?:{point}[0-9]*)?"
        r"(?:[eE][-+]?[0-9]+)?$"
    )
    for mark, group, point in ((".", ",", r"\."), (",", ".", ","))
}
"""How a number is spelled with each decimal mark; what groups thousands stands before three."""


@dataclass(frozen=True)
class Cells:
    """A column's numbers.

    Parameters
    ----------
    values : numpy.ndarray
        float64, shape ``(n_rows,)``; NaN where there is none; percent signs and suffixes are
        taken into account.
    in_percent : bool
        Whether cells end with a percent sign.
    with_suffix : bool
        Whether cells end with a suffix such as ``m`` or ``Gi``, or with a word, so that the
        values are absolute: cores, bytes or seconds.
    words : frozenset of str
        Words for a unit that cells end with, in lower case.
    """

    values: Floats | NDArray[np.float32]
    in_percent: bool = False
    with_suffix: bool = False
    words: frozenset[str] = frozenset()


def read_cells(
    column: pd.Series,
    name: str,
    file: str,
    *,
    key: str = "",
    missing: Sequence[str] = (),
    decimal: str | None = None,
) -> Cells:
    """Return a column as numbers, text that spells them included.

    Parameters
    ----------
    column : pandas.Series
        Values of one file, in the file's order.
    name : str
        Name of the column in the file.
    file : str
        The file, for the message.
    key : str
        Key of the configuration that maps the column, for the message.
    missing : sequence of str
        Spellings of a value that was not measured; ``""`` is one always.
    decimal : str, optional
        The decimal mark, where it is known; else the column tells it.

    Raises
    ------
    SchemaError
        More than one cell in a hundred is no number: the message shows the first one and its
        row, from 1. A comma may be a decimal mark as well as group thousands, or only some cells
        have a percent sign.
    """
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        single = column.dtype == np.float32
        values = column.to_numpy(np.float32 if single else np.float64, na_value=np.nan)
        sentinels = [float(word) for word in missing if _is_number(word)]
        if sentinels and np.isin(values, sentinels).any():
            values = np.where(np.isin(values, sentinels), np.nan, values)
        return Cells(values)
    text = pc.utf8_trim_whitespace(pa.array(column.astype("str"), pa.string(), from_pandas=True))
    held = text.dictionary_encode()
    words, codes = held.dictionary, held.indices.to_numpy(zero_copy_only=False)
    empty = pc.is_in(words, pa.array(["", "nan", "None", "<NA>", *missing])).to_numpy(False)
    parts = pc.extract_regex(words, CELL)
    read = ~pc.is_null(parts).to_numpy(False) & ~empty
    numbers = np.full(len(words), np.nan)
    percent, absolute = np.zeros(len(words), bool), np.zeros(len(words), bool)
    said: frozenset[str] = frozenset()
    if read.any():
        found = parts.filter(pa.array(read)).flatten()
        number, percents, suffixes, units = (part.to_pandas() for part in found)
        number = number.str.strip()
        mark = decimal or _tell_decimal(number, name, file)
        scale = suffixes.map(SUFFIXES).to_numpy(np.float64, na_value=1.0)
        percent[read] = percents.eq("%")
        absolute[read] = suffixes.ne("") | units.ne("")
        numbers[read] = _to_float(number, mark) * np.where(percent[read], 0.01, scale)
        said = frozenset(units[units.ne("")].str.lower())
        read &= ~np.isnan(numbers)
        if percent.any() and (read & ~percent & (numbers != 0)).any():
            raise SchemaError(
                f"{file}: column {name}",
                seen=f"{words[int(percent.argmax())].as_py()!r}, and cells without a percent sign",
                allowed="a percent sign in all cells or in none",
                fix=f"export column {name} in one unit",
            )
    known = codes >= 0 if held.null_count == 0 else ~pc.is_null(held).to_numpy(False)
    codes = np.where(known, codes, 0).astype(np.int64)
    bad = np.flatnonzero(known & (~read & ~empty)[codes]) if len(words) else codes[:0]
    if len(bad) > 0:
        _judge_unreadable(bad, column, name, file, key)
    return Cells(
        np.where(known, numbers[codes], np.nan) if len(words) else np.full(len(column), np.nan),
        in_percent=bool(percent.any()),
        with_suffix=bool(absolute.any()),
        words=said,
    )


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _to_float(text: pd.Series, decimal: str) -> Floats:
    """Return numbers of a decimal mark, NaN where they are spelled otherwise."""
    group = "," if decimal == "." else "."
    plain = text.str.replace(rf"[{group} '_]", "", regex=True).str.replace(",", ".", regex=False)
    numbers = pd.to_numeric(plain, errors="coerce").to_numpy(np.float64)
    spelled = text.str.match(SPELLED[decimal]) | text.str.contains("nf", regex=False)
    return np.where(spelled, numbers, np.nan)


def _tell_decimal(text: pd.Series, name: str, file: str) -> str:
    """Return the decimal mark that more of the numbers can only be read with.

    Raises
    ------
    SchemaError
        All can be read with both, and some hold a comma.
    """
    point, comma = (text.str.match(SPELLED[mark]) for mark in (".", ","))
    only_point, only_comma = (point & ~comma).sum(), (comma & ~point).sum()
    with_comma = text.str.contains(",", regex=False) & point & comma
    if only_point == only_comma == 0 and with_comma.any():
        raise SchemaError(
            f"{file}: column {name}",
            seen=f"{text[with_comma].iloc[0]!r}, whose comma may group thousands or not",
            allowed="one decimal mark",
            fix="set data.dialect.decimal=',' or '.', or export without grouped thousands",
        )
    return "," if only_comma > only_point else "."


def _judge_unreadable(
    bad: NDArray[np.int64], column: pd.Series, name: str, file: str, key: str
) -> None:
    seen = f"text {str(column.iloc[bad[0]]).strip()!r} in row {bad[0] + 1}"
    if len(bad) <= max(1, TOLERATED * len(column)) and len(bad) < len(column):
        _log.warning(
            "%s: column %s: %d of %d cells are no numbers and hold no value here, first %s",
            file, name, len(bad), len(column), seen,
        )  # fmt: skip
        return
    raise SchemaError(
        f"{file}: column {name}",
        seen=f"{seen} ({len(bad):,} such cells)",
        allowed="numbers, with a suffix such as % or Gi if need be",
        fix="add the word to data.missing if it says that nothing was measured"
        + (f", or map another column with data.columns.{key}=..." if key else ""),
    )
