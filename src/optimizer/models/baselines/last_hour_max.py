"""The peak of the last hour: what an operator's alert on a threshold looks at."""

from __future__ import annotations

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.panel import FloatArray
from optimizer.models.baselines.event_rule import HeuristicClassifier
from optimizer.models.lookback import gather, rolling
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask


class LastHourMax(HeuristicClassifier):
    """Score a row by the maximum of the metric over the last hour, at least one step.

    Parameters
    ----------
    window : str
        How far back to look, ``"1h"`` by default.

    Notes
    -----
    Uses the observed steps in ``(t - window, t]``.
    """

    def __init__(self, window: str = "1h") -> None:
        self._window = parse_duration(window, "model.window")
        self.window = window

    def _score(self, samples: Dataset, task: EventTask) -> FloatArray:
        size = count_steps(self._window, samples.panel.step)
        grid = rolling(samples.panel.metric(task.metric), size, "max")
        return gather(grid, samples.service, samples.step)
