"""From a training's progress to the steps of an Optuna trial."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

from optimizer.models.callbacks import TrainingStopped
from optimizer.training.tuning.settings import Search
from optimizer.training.tuning.study import ENQUEUED


class Reporter:
    """Reports at evenly spaced shares of the work and stops a trial that the pruner gives up.

    What was enqueued is never pruned: all else is to be compared with it. ``prunes``: whether the
    figures can be compared with those of the other trials.
    """

    def __init__(self, trial: Any, search: Search, *, prunes: bool) -> None:
        self.trial = trial
        self.steps = search.reports * search.folds
        self.prunes = prunes and ENQUEUED not in trial.user_attrs
        self.history: list[tuple[int, float]] = []
        self.began, self.limit = time.monotonic(), search.timeout_seconds

    def check_time(self) -> None:
        """Raise if the trial has taken longer than it may.

        An alarm does so too, but Python drops what it raises within a finaliser. Raises
        TimeoutError: the time is up.
        """
        if self.limit is not None and time.monotonic() - self.began > self.limit:
            raise TimeoutError

    def tell(self, share: float, value: float) -> None:
        """Report a value unless one of the same step was reported.

        Raises TrainingStopped: the pruner gives the trial up.
        """
        self.check_time()
        step = math.floor(share * self.steps + 1e-9)
        if step < 1 or (self.history and step <= self.history[-1][0]):
            return
        self.history.append((step, value))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a trial begun again repeats its steps
            self.trial.report(value, step)
        if self.prunes and self.trial.should_prune():
            raise TrainingStopped("pruned")
