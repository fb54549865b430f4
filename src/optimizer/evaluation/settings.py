"""What evaluation is configured with: costs, budgets and the size of the bootstrap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.errors import ConfigError
from optimizer.evaluation.alarms import lead_steps
from optimizer.evaluation.calibration import Calibrator
from optimizer.evaluation.metrics.events import Vector
from optimizer.evaluation.threshold import choose_threshold
from optimizer.models.baselines.service_rates import service_rates
from optimizer.targets.dataset import Dataset


class Evaluation:
    """How models are calibrated, held to a threshold and judged.

    Raises ConfigError: a value is out of its range.

    Parameters
    ----------
    cost_miss, cost_false_alarm : float
        Cost of a missed positive row and of a false alarm, > 0; only their ratio matters.
    beta : float
        F-beta's weight of recall, > 0.
    lead : str
        Warning time that an event needs, for example ``"30min"``.
    false_alarm_rates : sequence of float
        Budgets of false alarm episodes per service-week, > 0, ascending.
    alarm_renewal : str or None
        An alarm still on after this long counts as a new one, for example ``"1h"``; None means
        the target's horizon.
    ece_bins : int
        Bins of equal mass, at least 2.
    shrink_rows : float
        Rows by which a service's own rate is shrunk to the fleet's, at least 0.
    min_positives_isotonic : int
        Validation positives below which calibration is Platt's, at least 1.
    min_positives_service : int
        Test positives a service needs to count in the per-service lift, at least 1.
    bootstrap_resamples : int
        Draws of services for confidence intervals, at least 0; 0 gives none.
    confidence : float
        Level of the intervals, in (0, 1).
    bootstrap_seed : int
        Seeds the draws.
    """

    def __init__(  # noqa: PLR0913 - one argument per line of the yaml
        self,
        *,
        cost_miss: float = 10.0,
        cost_false_alarm: float = 1.0,
        beta: float = 2.0,
        lead: str = "30min",
        false_alarm_rates: Sequence[float] = (1.0, 3.5, 7.0, 14.0),
        alarm_renewal: str | None = None,
        ece_bins: int = 15,
        shrink_rows: float = 20.0,
        min_positives_isotonic: int = 200,
        min_positives_service: int = 20,
        bootstrap_resamples: int = 200,
        confidence: float = 0.95,
        bootstrap_seed: int = 7,
    ) -> None:
        for key, value in {
            "cost_miss": cost_miss,
            "cost_false_alarm": cost_false_alarm,
            "beta": beta,
        }.items():
            _require(key, value, allowed="a number above 0", valid=value > 0, fix="10.0")
        for key, count, least in (
            ("ece_bins", ece_bins, 2),
            ("shrink_rows", shrink_rows, 0),
            ("min_positives_isotonic", min_positives_isotonic, 1),
            ("min_positives_service", min_positives_service, 1),
            ("bootstrap_resamples", bootstrap_resamples, 0),
        ):
            valid = count >= least
            _require(key, count, allowed=f"at least {least}", valid=valid, fix=str(max(least, 20)))
        inside = 0 < confidence < 1
        _require("confidence", confidence, allowed="between 0 and 1", valid=inside, fix="0.95")
        rates = tuple(float(rate) for rate in false_alarm_rates)
        rising = len(rates) > 0 and rates[0] > 0 and all(np.diff(rates) > 0)
        _require(
            "false_alarm_rates",
            list(rates),
            allowed="ascending numbers above 0",
            valid=rising,
            fix="[1,3.5,7,14]",
        )
        self.cost_miss = cost_miss
        self.cost_false_alarm = cost_false_alarm
        self.beta = beta
        self.lead = parse_duration(lead, "evaluation.lead")
        self.false_alarm_rates = rates
        self.alarm_renewal = (
            parse_duration(alarm_renewal, "evaluation.alarm_renewal") if alarm_renewal else None
        )
        self.ece_bins = ece_bins
        self.shrink_rows = shrink_rows
        self.min_positives_isotonic = min_positives_isotonic
        self.min_positives_service = min_positives_service
        self.bootstrap_resamples = bootstrap_resamples
        self.confidence = confidence
        self.bootstrap_seed = bootstrap_seed

    def calibrate(self, score: Vector, y: Vector) -> Calibrator:
        """Return a calibrator fitted on the scores and labels of the validation rows."""
        return Calibrator(self.min_positives_isotonic).fit(score, y)

    def choose_threshold(self, y_true: Vector, y_score: Vector) -> float:
        """Return the decision threshold that costs least on the validation rows."""
        return choose_threshold(
            y_true, y_score, cost_miss=self.cost_miss, cost_false_alarm=self.cost_false_alarm
        )

    def reference_rates(self, past: Sequence[Dataset], n_services: int) -> NDArray[np.float64]:
        """Return each service's own event rate in the past folds (training and validation).

        ``past``: folds that end before the test fold begins.
        """
        service = np.concatenate([fold.service for fold in past])
        y = np.concatenate([fold.y for fold in past])
        return service_rates(service, y, n_services, self.shrink_rows)

    def lead_steps(self, step: pd.Timedelta) -> int:
        """Return the warning time in steps of the clock, rounded up, at least one."""
        return lead_steps(self.lead, step)

    def renewal_steps(self, step: pd.Timedelta, horizon_steps: int) -> int:
        """Return the renewal of alarms in steps of the clock, the horizon unless configured.

        Without it one alarm that never ends would count as a single one, and not as false as
        soon as it met any event.
        """
        renewal = self.alarm_renewal
        return horizon_steps if renewal is None else count_steps(renewal, step)


def _require(key: str, seen: object, *, allowed: str, valid: bool, fix: str) -> None:
    if not valid:
        raise ConfigError(
            f"evaluation.{key}", seen=seen, allowed=allowed, fix=f"set evaluation.{key}={fix}"
        )
