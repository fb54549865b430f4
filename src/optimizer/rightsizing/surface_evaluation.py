"""The exceedance surface beside what anyone can count, on intervals that neither has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.columns import SERVICE, TIMESTAMP
from optimizer.durations import count_steps, format_duration
from optimizer.errors import TargetError
from optimizer.evaluation import bootstrap
from optimizer.evaluation.settings import Evaluation
from optimizer.features.panel import FloatArray
from optimizer.ranges import require_choice, require_count
from optimizer.rightsizing.base import Usage
from optimizer.rightsizing.surface_features import HALFLIVES, REFERENCES
from optimizer.rightsizing.surface_history import DecayedPast
from optimizer.rightsizing.surface_rolling import multiply
from optimizer.rightsizing.surface_trained import (
    Answer,
    Cases,
    TrainedSurface,
    moments,
    reference_cases,
)
from optimizer.targets.base import ShareBaseline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatVector = NDArray[np.float64]
LEAST = 1e-4
"""No forecast counts as surer than this: the log loss of a certainty that fails is endless."""
FLOORS = (LEAST, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Margins that a baseline chooses from."""
PROMISES = (0.005, 0.01, 0.02, 0.05)
"""Shares of steps that requests are usually allowed to miss."""
DRAWN = tuple(float(share) for share in np.geomspace(0.001, 0.5, 25))
"""Promised exceedances of the calibration plot."""


class _Counted:
    """A share that was counted, kept away from certainty by a margin.

    The margin costs least log loss on the training intervals: a baseline that says never as soon
    as it has not seen a thing would be beaten too easily.
    """

    floor: float = LEAST

    def fit(self, cases: Cases) -> _Counted:
        """Choose the margin on intervals that have ended."""
        y, share = cases.rows.outcome[cases.scored], self._count(cases)[cases.scored]
        losses = [np.mean(log_losses(y, np.clip(share, f, 1.0 - f))) for f in FLOORS]
        self.floor = FLOORS[int(np.nanargmin(losses))] if len(y) else LEAST
        return self

    def exceedance(self, cases: Cases) -> FloatArray:
        """Return the counted share of each level within the margin."""
        return np.clip(self._count(cases), self.floor, 1.0 - self.floor)

    def _count(self, cases: Cases) -> FloatArray:
        raise NotImplementedError


class DecayedShare(_Counted):
    """The share of a service's own past steps above the level, decayed by age.

    Parameters
    ----------
    halflife : str
        Age at which a step counts half: ``12h``, ``24h`` or ``72h``.
    """

    def __init__(self, halflife: str = "24h") -> None:
        require_choice("model.halflife", halflife, HALFLIVES)
        self._index = HALFLIVES.index(halflife)

    def _count(self, cases: Cases) -> FloatArray:
        return cases.rows.past[..., self._index]


class SamePartOfDay(_Counted):
    """The share of steps above the level in the same part of the last seven days.

    Where these were not observed, the share of the service's past with a half-life of 72 h.
    """

    def _count(self, cases: Cases) -> FloatArray:
        usage, day = cases.usage, count_steps(pd.Timedelta("1d"), cases.usage.step)
        within = np.arange(min(cases.interval, day))
        out = np.empty(cases.rows.levels.shape, dtype=np.float32)
        for i, cutoff in enumerate(cases.table.cutoffs.tolist()):
            steps = (cutoff - day * np.arange(7, 0, -1)[:, None] + within).ravel()
            past = DecayedPast(usage.values[:, steps[steps >= 0]], [np.inf])
            out[i] = past.exceedance(cases.rows.levels[i])[..., 0]
        return np.asarray(np.where(np.isnan(out), cases.rows.past[..., -1], out), np.float32)


class FleetShare(_Counted):
    """How often services of the whole fleet exceeded a level so far from their usual usage.

    Parameters
    ----------
    reference : str
        A reference level of the surface that the level is divided by.
    bins : int
        Of equally many training rows, by the ratio.
    """

    def __init__(self, reference: str = "p99 7d", bins: int = 40) -> None:
        require_choice("model.reference", reference, REFERENCES)
        require_count("model.bins", bins, 2, fix=40)
        self._reference = REFERENCES.index(reference)
        self._bins = bins
        self._edges: FloatVector = np.empty(0)
        self._shares: FloatVector = np.zeros(1)

    def fit(self, cases: Cases) -> _Counted:
        """Count per bin, then choose the margin."""
        y, ratio = cases.rows.outcome[cases.scored], self._ratio(cases)[cases.scored]
        self._edges = np.unique(np.quantile(ratio, np.linspace(0, 1, self._bins + 1)[1:-1]))
        place = np.searchsorted(self._edges, ratio, side="right")
        number = np.bincount(place, minlength=len(self._edges) + 1)
        total = np.bincount(place, weights=y, minlength=len(number))
        self._shares = total / np.maximum(number, 1)
        return super().fit(cases)

    def _ratio(self, cases: Cases) -> FloatArray:
        reference = cases.table.references[:, :, self._reference, None]
        return np.divide(cases.rows.levels, np.maximum(reference, 1e-9), dtype=np.float32)

    def _count(self, cases: Cases) -> FloatArray:
        place = np.searchsorted(self._edges, self._ratio(cases), side="right")
        return np.asarray(self._shares[place], dtype=np.float32)


def log_losses(y: NDArray[np.floating], share: NDArray[np.floating]) -> FloatVector:
    """Return -y·log p - (1 - y)·log(1 - p) per row, ``p`` within [1e-4, 1 - 1e-4]."""
    p = np.clip(np.asarray(share, dtype=np.float64), LEAST, 1.0 - LEAST)
    losses: FloatVector = -y * np.log(p) - (1.0 - y) * np.log1p(-p)
    return losses


@dataclass(frozen=True)
class Scored:
    """Rows of some intervals: who they are of, what came, and what each model said.

    Parameters
    ----------
    cases : Cases
        The intervals.
    shares : dict
        Exceedance by model, shape as the levels: ``model``, ``raw`` and the baselines.
    """

    cases: Cases
    shares: dict[str, FloatArray]

    def known(self) -> NDArray[np.bool_]:
        """Return the rows that all models and the outcome know, shape as the levels."""
        finite = [np.isfinite(share) for share in self.shares.values()]
        return np.asarray(np.logical_and.reduce([self.cases.scored, *finite]))

    def losses(self, name: str) -> tuple[FloatVector, FloatVector]:
        """Return a model's log losses and squared errors on the known rows."""
        rows = self.known()
        y, share = self.cases.rows.outcome[rows].astype(np.float64), self.shares[name][rows]
        return log_losses(y, share), np.square(share - y)


def score_answer(
    trained: TrainedSurface,
    answer: Answer,
    usage: Usage,
    cutoffs: NDArray[np.int64],
    floor: float | None = None,
) -> Scored:
    """Return what a trained surface says at the reference levels of some of its cutoffs.

    Parameters
    ----------
    trained : TrainedSurface
        The surface.
    answer : Answer
        Its answer at these cutoffs, and at others perhaps.
    usage : Usage
        Gives the outcomes.
    cutoffs : numpy.ndarray
        int64, ascending, shape ``(n_cutoffs,)``.
    floor : float, optional
        Least level to score; the surface's own if absent.

    Raises
    ------
    TargetError
        Nothing was observed that could be scored.
    """
    rows = np.searchsorted(answer.raw.cutoffs, cutoffs)
    table = answer.table.part(cutoffs)
    least = trained.model.floor if floor is None else floor
    cases = reference_cases(usage, table, answer.raw.interval, least)
    raw = trained.model.exceedance(usage, table, cases.rows.levels)
    raw[np.isnan(answer.raw.exceedance[rows, :, -1])] = np.nan  # too young to be forecast
    found = Scored(cases, {"model": multiply(raw, answer.factors[rows]), "raw": raw})
    if not found.known().any():
        raise TargetError(
            "surface",
            seen=f"{len(cutoffs)} intervals without an outcome to score",
            allowed="a service that was observed in half of an interval",
            fix="give more history, or telemetry with fewer gaps",
        )
    return found


def measure(
    scored: Scored, baselines: Mapping[str, ShareBaseline], settings: Evaluation
) -> tuple[dict[str, dict[str, float]], dict[str, float], str]:
    """Return figures by model, the difference to the best baseline, and its name.

    Parameters
    ----------
    scored : Scored
        Of the test intervals.
    baselines : mapping
        Fitted.
    settings : Evaluation
        The bootstrap over services; all models see the same draws.

    Returns
    -------
    tuple
        Figures (``log_loss``, ``brier``, their skill against the best baseline); and changes
        with bounds, negative where the model is better.
    """
    shares = {name: one.exceedance(scored.cases) for name, one in baselines.items()}
    whole = Scored(scored.cases, scored.shares | shares)
    losses = {name: whole.losses(name) for name in whole.shares}
    service = np.nonzero(whole.known())[1]
    draws = settings.bootstrap_resamples, settings.bootstrap_seed
    counts = bootstrap.resample_services(service, scored.cases.usage.n_services, *draws)
    best = min(baselines, key=lambda name: float(np.mean(losses[name][0])))
    figures, difference = {}, {}
    for name, parts in losses.items():
        figures[name] = {"n_rows": float(len(service))}
        for metric, own, other in zip(("log_loss", "brier"), parts, losses[best], strict=True):
            means = bootstrap.weighted_means(service, own, counts)
            low, high = bootstrap.interval(means, settings.confidence)
            figures[name] |= {
                metric: float(np.mean(own)),
                f"{metric}_lower": low,
                f"{metric}_upper": high,
                f"{metric}_skill": 1.0 - float(np.mean(own) / np.mean(other)),
            }
            if name == "model":
                change = bootstrap.weighted_means(service, own - other, counts)
                low, high = bootstrap.interval(change, settings.confidence)
                difference[f"{metric}_change"] = float(np.mean(own - other))
                difference |= {f"{metric}_change_lower": low, f"{metric}_change_upper": high}
    return figures, difference, best


def frame_scored(scored: Scored) -> pd.DataFrame:
    """Return the scored rows: keys, ``horizon``, ``level``, ``y_true`` and the exceedances."""
    cases, known = scored.cases, scored.known()
    cutoff, service, _ = np.nonzero(known)
    at = moments(cases.usage, cases.table.cutoffs)
    return pd.DataFrame(
        {
            SERVICE: np.asarray(cases.usage.services, dtype=object)[service],
            TIMESTAMP: pd.DatetimeIndex(at[cutoff], tz="UTC"),
            "horizon": format_duration(cases.interval * cases.usage.step),
            "level": cases.rows.levels[known],
            "y_true": cases.rows.outcome[known],
            "exceedance": scored.shares["model"][known],
            "exceedance_raw": scored.shares["raw"][known],
        }
    )


def plot_promises(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Return realised against promised exceedance, logarithmic; from ``realise``, by name."""
    from optimizer.evaluation.plots_style import DASHES, GREY, SERIES, legend_outside, new_figure

    figure, (axis,) = new_figure(width=7.5)
    ends = [min(DRAWN), max(DRAWN)]
    axis.plot(ends, ends, color=GREY, linewidth=1, label="kept exactly")
    for (name, curve), colour, dash in zip(curves.items(), SERIES, DASHES, strict=False):
        seen = curve[curve["realised"] > 0]  # a logarithm has no place for never
        axis.plot(seen["promised"], seen["realised"], dash, color=colour, marker=".", label=name)
    axis.set(xscale="log", yscale="log", xlabel="promised share of steps above the level")
    axis.set_ylabel("realised share")
    legend_outside(axis)
    return figure
