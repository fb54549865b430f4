"""The experts of a horizon that need no model: a service's own past values as they are.

They adapt at once where a service has changed since training, and where it keeps to the clock in a
way that features over a week do not show.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.core.durations import count_steps
from optimizer.core.panel import FloatArray
from optimizer.models.boosting.residual_baselines import RECENT
from optimizer.models.lookback import DAY, same_hour_quantiles, steps_back, trailing_quantiles
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import ForecastTask

DAYS = 14
"""Days of :func:`same_hour_quantiles`: whole weeks, so that every day of the week counts alike.

Chosen among 7, 10, 14, 21 and 28 on rolling origins before the default test fold of a public
trace, the GWA-T-12 Bitbrains servers; 14, 21 and 28 were equal there.
"""


def empirical_quantiles(
    samples: Dataset, models: Sequence[FloatArray], task: ForecastTask, position: int
) -> list[FloatArray]:
    """Return each service's quantiles of the last 72 hours, and of its last days at the hour.

    Quantiles of the values in ``(t - 72h, t]``, and of those at ``t + h - k * 24h`` for the 14
    smallest k that put it at or before t. float32, shape ``(n, n_quantiles)``, ascending, no less
    than 0, never NaN. ``samples``: the ``n`` rows, made at moments t. ``models``: each model's
    quantiles, shape ``(n, n_quantiles)``: their mean stands in where nothing was observed.
    """
    panel, ahead = samples.panel, task.horizon_steps[position]
    grid, at = panel.metric(task.metric), (samples.service, samples.step)
    day, recent = count_steps(DAY, panel.step), count_steps(RECENT, panel.step)
    experts = [
        trailing_quantiles(grid, at, recent, task.quantiles),
        same_hour_quantiles(grid, at, steps_back(ahead, day, DAYS), task.quantiles),
    ]
    for found in experts:
        blank = np.isnan(found[:, 0])
        found[blank] = np.mean([one[blank] for one in models], axis=0)
        np.maximum(found, np.float32(0.0), out=found)
    return experts
