"""Weighting experts by their matured losses reads nothing that comes later."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from factories import forecast_task, tiny_panel, tiny_samples, tiny_table
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.core.panel import Panel
from optimizer.models.base import Runtime
from optimizer.models.boosting.lightgbm import LightGBM
from optimizer.targets.dataset import Dataset

CLOCKS = {"1h": 400, "5min": 1500}


@cache
def panel_on(step: str) -> Panel:
    return tiny_panel(4, CLOCKS[step], seed=5, step=step, gaps=0.05)


@cache
def fitted_on(step: str) -> LightGBM:
    panel = panel_on(step)
    task, table = forecast_task(panel), tiny_table(panel)
    edges = [int(share * panel.n_steps) for share in (0.0, 0.3, 0.4)]
    train, valid = (tiny_samples(task, panel, table, start=a, stop=b) for a, b in pairwise(edges))
    model = LightGBM(rounds=5, min_child_samples=20)
    model.fit_forecast(train, valid, task, Runtime())
    return model


def rows_at(panel: Panel, first: int, last: int) -> Dataset:
    table = tiny_table(panel)
    rows = np.flatnonzero((table.step >= first) & (table.step <= last))
    return Dataset(panel, table, rows, np.zeros(len(rows), np.float32))


def disturb(panel: Panel, cut: int, seed: int) -> Panel:
    """Return the panel with all values after the cut replaced, some of them by gaps."""
    rng = np.random.default_rng(seed)
    values = panel.values.copy()
    noise = rng.lognormal(0, 1, values[:, :, cut + 1 :].shape).astype(np.float32)
    noise[rng.random(noise.shape) < 0.2] = np.nan
    values[:, :, cut + 1 :] = noise
    return replace(panel, values=values)


@pytest.mark.parametrize("step", CLOCKS)
@settings(max_examples=8, deadline=None)
@given(share=st.floats(0.4, 0.95), seed=st.integers(0, 99))
def test_forecasts_up_to_t_ignore_what_comes_later(step: str, share: float, seed: int) -> None:
    panel, model = panel_on(step), fitted_on(step)
    cut = int(share * panel.n_steps)
    first = cut - panel.n_steps // 10
    before = model.predict_quantiles(rows_at(panel, first, cut))
    other = disturb(panel, cut, seed)
    np.testing.assert_array_equal(model.predict_quantiles(rows_at(other, first, cut)), before)
    # nor does it matter that later rows are predicted along with them
    both = rows_at(other, first, panel.n_steps - 1)
    np.testing.assert_array_equal(model.predict_quantiles(both)[both.step <= cut], before)


@pytest.mark.parametrize("step", CLOCKS)
@settings(max_examples=8, deadline=None)
@given(share=st.floats(0.4, 0.99), service=st.integers(0, 3))
def test_forecasts_of_rows_alone_and_together_are_equal(
    step: str, share: float, service: int
) -> None:
    panel, model = panel_on(step), fitted_on(step)
    at = int(share * panel.n_steps)
    together = rows_at(panel, at - 50, min(at + 50, panel.n_steps - 1))
    mask = (together.step == at) & (together.service == service)
    whole = model.predict_quantiles(together)[mask]
    np.testing.assert_allclose(
        model.predict_quantiles(together.select(mask)), whole, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("step", CLOCKS)
def test_actuals_that_have_matured_do_change_the_forecasts(step: str) -> None:
    panel, model = panel_on(step), fitted_on(step)
    now = panel.n_steps - 1
    samples = rows_at(panel, now, now)
    before = model.predict_quantiles(samples)
    values = panel.values.copy()
    values[:, :, now - 5] *= 0.1  # the actual of a forecast made a day and five steps ago
    changed = replace(samples, panel=replace(panel, values=values))
    after = model.predict_quantiles(changed)
    assert (after[:, 1] != before[:, 1]).any()
