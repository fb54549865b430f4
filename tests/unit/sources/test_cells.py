"""Numbers spelled as text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import SchemaError
from optimizer.sources.cells import Cells, read_cells

NAN = float("nan")


def read(*cells: object, decimal: str | None = None, missing: tuple[str, ...] = ()) -> Cells:
    return read_cells(pd.Series(cells, dtype=object), "c", "f", decimal=decimal, missing=missing)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (("0.25", ".5", "1e3", "-2"), (0.25, 0.5, 1000, -2)),
        (("16.1%", "3 %", None), (0.161, 0.03, NAN)),
        (("250m", "1", "2k"), (0.25, 1, 2000)),
        (("1Ki", "2 MiB", "4.00 GiB", "3G"), (1024, 2 * 1024**2, 4 * 1024**3, 3e9)),
        (("167ms", "1.2s"), (0.167, 1.2)),
        (("1,154.8", "916.4", "2,000"), (1154.8, 916.4, 2000)),
        (("1.154,8", "3,5", "1.200"), (1154.8, 3.5, 1200)),
        (("1,5", "1,154"), (1.5, 1.154)),  # one comma that can only be a decimal mark settles it
        (("1 234", "12", "1'000'000"), (1234, 12, 1e6)),
        (("inf", "-Inf", "NaN", ""), (np.inf, -np.inf, NAN, NAN)),
        ((None, None), (NAN, NAN)),
    ],
)
def test_spellings(cells: tuple[object, ...], values: tuple[float, ...]) -> None:
    np.testing.assert_allclose(read(*cells, missing=("NaN",)).values, values, rtol=1e-12)


@pytest.mark.parametrize(("decimal", "value"), [(",", 1.154), (".", 1154.0)])
def test_a_mark_that_is_said_settles_a_comma(decimal: str, value: float) -> None:
    assert read("1,154", "2,000", decimal=decimal).values[0] == value


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (("1,154", "2,000"), r"'1,154', whose comma may group thousands.*data\.dialect\.decimal"),
        (("12,34,56", "1,2,3", "4"), "text '12,34,56' in row 1"),
        (("5 %", "0.2"), "cells without a percent sign"),
        (("12 Mb/s", "5 Mb/s"), "text '12 Mb/s' in row 1"),  # bits are not taken for bytes
        (("high", "low", "3"), r"text 'high' in row 1 \(2 such cells\).*data\.missing"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(cells: tuple[str, ...], told: str) -> None:
    with pytest.raises(SchemaError, match=told):
        read(*cells)


def test_a_decimal_point_among_decimal_commas_is_no_number() -> None:
    with pytest.raises(SchemaError, match=r"'0\.5' in row 1"):
        read("0.5", "0.25", "1,5", decimal=",")


def test_sentinels_are_missing_in_numbers_and_in_text() -> None:
    assert np.isnan(read_cells(pd.Series([1.0, -1.0]), "c", "f", missing=("-1",)).values[1])
    assert np.isnan(read("1", "-1", missing=("-1",)).values[1])


def test_words_and_suffixes_are_told() -> None:
    assert read("1.2s", "3s").words == {"s"}
    assert read("1.2s", "3s").with_suffix
    assert not read("1.2", "3").with_suffix
    assert read("5 %").in_percent
