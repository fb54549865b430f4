"""Cells of text that spell a number: marks that group thousands, percent signs, SI suffixes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
UNIT_WORDS = r"(?:B|b|bytes?|cores?|s|sec|Hz|[Bb]/s|[Bb]ps|/s)?"
CELL = (
    r"^(?P<number>[-+]?(?:[0-9][0-9., '_]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[iI]nf(?:inity)?)"
    r"\s*(?P<percent>%?)(?P<suffix>[KMGTP]i|[numµkKMGTP]?)" + UNIT_WORDS + r"$"
)


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
        Whether cells end with a suffix such as ``m`` or ``Gi``, so that the values are absolute:
        cores, bytes or seconds.
    """

    values: Floats
    in_percent: bool = False
    with_suffix: bool = False


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
        The decimal mark, where it is known; else each cell tells its own.

    Raises
    ------
    SchemaError
        More than one cell in a hundred is no number, or a comma may be a decimal mark as well
        as group thousands: the message shows the first one and its row, from 1.
    """
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(np.float64, na_value=np.nan)
        sentinels = [float(word) for word in missing if _is_number(word)]
        if sentinels and np.isin(values, sentinels).any():
            values = np.where(np.isin(values, sentinels), np.nan, values)
        return Cells(values)
    text = pc.utf8_trim_whitespace(pa.array(column.astype("str"), pa.string(), from_pandas=True))
    held = text.dictionary_encode()
    words, codes = held.dictionary, held.indices.to_numpy(zero_copy_only=False)
    empty = pc.is_in(words, pa.array(["", "nan", "None", "<NA>", *missing])).to_numpy(False)
    parts = pc.extract_regex(words, CELL)
    read = ~pc.is_null(parts).to_numpy(False)
    if decimal is None:
        _refuse_ambiguous(words.filter(pa.array(read & ~empty)), name, file)
    numbers = np.full(len(words), np.nan)
    percent, suffix = np.zeros(len(words), bool), np.full(len(words), "", dtype=object)
    if read.any():
        found = parts.filter(pa.array(read))
        numbers[read] = _to_float(pc.struct_field(found, "number"), decimal)
        percent[read] = pc.equal(pc.struct_field(found, "percent"), "%").to_numpy(False)
        suffix[read] = pc.struct_field(found, "suffix").to_numpy(False)
    scale = pd.Series(suffix).map(SUFFIXES).to_numpy(np.float64, na_value=1.0)
    numbers = np.where(percent, numbers / 100.0, numbers * scale)
    numbers[empty] = np.nan
    known = codes >= 0 if held.null_count == 0 else ~pc.is_null(held).to_numpy(False)
    codes = np.where(known, codes, 0).astype(np.int64)
    bad = np.flatnonzero(known & (~read & ~empty)[codes])
    if len(bad) > 0:
        _judge_unreadable(bad, column, name, file, key)
    return Cells(
        np.where(known, numbers[codes], np.nan) if len(words) else np.full(len(column), np.nan),
        in_percent=bool((percent & ~empty).any()),
        with_suffix=bool(((suffix != "") & ~empty).any()),
    )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _to_float(text: Any, decimal: str | None) -> Floats:
    """Return numbers with marks that group thousands; a sole comma is a decimal mark."""
    plain = pc.replace_substring_regex(text, r"[ '_]", "")
    if decimal == ",":
        plain = pc.replace_substring(pc.replace_substring(plain, ".", ""), ",", ".")
    elif decimal == ".":
        plain = pc.replace_substring(plain, ",", "")
    european = r"^([-+]?[0-9]{1,3})(\.[0-9]{3})*,([0-9]+)$"
    grouped = pc.match_substring_regex(plain, r"^[-+]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?$")
    comma = pc.and_(pc.match_substring_regex(plain, european), pc.invert(grouped))
    swapped = pc.replace_substring(pc.replace_substring(plain, ".", ""), ",", ".")
    plain = pc.if_else(comma, swapped, pc.replace_substring(plain, ",", ""))
    return np.asarray(pd.to_numeric(plain.to_pandas(), errors="coerce"), dtype=np.float64)


def _refuse_ambiguous(words: Any, name: str, file: str) -> None:
    """Refuse a column whose only commas stand before three digits, with nothing to tell them by."""
    number = pc.struct_field(pc.extract_regex(words, CELL), "number")
    doubtful = pc.match_substring_regex(number, r"^[-+]?[0-9]{1,3},[0-9]{3}$")
    if not pc.any(doubtful).as_py():
        return
    with_comma = pc.match_substring(number, ",")
    settled = pc.and_(pc.or_(with_comma, pc.match_substring(number, ".")), pc.invert(doubtful))
    if pc.any(settled).as_py():
        return
    raise SchemaError(
        f"{file}: column {name}",
        seen=f"{words.filter(doubtful)[0].as_py()!r}, whose comma may group thousands or not",
        allowed="one decimal mark",
        fix="set data.dialect.decimal=',' or '.', or export without grouped thousands",
    )


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
