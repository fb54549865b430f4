"""What the LSTM and the GRU share: everything but the cell.

A window is the last ``window`` of telemetry, the present step included. Its channels are the
panel's metrics (heavy tails as log1p), the share of them missing, and optionally the calendar.
A gap holds the last value before it within the window.

The model has to score services that it never saw, so there is no embedding of a service.
Channels are standardised by the training fold, which keeps absolute levels (a ceiling is
absolute), and the task's metric enters a second time normalised by its own window, which lets
the shape of a load transfer between small and large services.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.errors import InsufficientHistoryError
from optimizer.core.panel import FloatArray
from optimizer.core.schema import METRICS
from optimizer.core.state import Stateful
from optimizer.core.validation import require_between, require_choice, require_count
from optimizer.models.base import Runtime, TrainingLog
from optimizer.models.imbalance.base import ImbalanceStrategy
from optimizer.models.imbalance.focal import sigmoid
from optimizer.models.recurrent.data import (
    event_source,
    plain_source,
    prior_logit,
    residual_quantiles,
)
from optimizer.models.recurrent.prediction import FittedNetwork, predict
from optimizer.models.recurrent.windows import Channels, Windows, fit_channels
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask, ForecastTask, Task

if TYPE_CHECKING:
    from optimizer.models.recurrent.batches import WindowSource
    from optimizer.models.recurrent.objectives import Objective

logger = logging.getLogger(__name__)
WINDOWS_PER_THREAD = 256
"""Least share of a batch that is worth a thread. At 128 windows a second thread saves a quarter
of the time on an idle machine, and costs ten times as much on a busy one: threads meet at every
step of the window, and each waits for the slowest."""
PRECISIONS = ("auto", "32-true", "bf16-mixed")
_COUNTS = (
    ("max_steps", 2, 72),
    ("hidden_size", 1, 64),
    ("num_layers", 1, 1),
    ("batch_size", 1, 128),
    ("max_epochs", 1, 12),
    ("patience", 1, 4),
    ("max_train_rows", 1, 200_000),
    ("max_valid_rows", 1, 100_000),
    ("max_resample_rows", 10, 50_000),
)
"""Whole numbers of the constructor: name, least value, usual value."""


@dataclass(eq=False)
class RecurrentModel(Stateful):
    """A recurrent network over windows of the panel, for events and for forecasts.

    Raises ConfigError: a value is out of its range.

    Parameters
    ----------
    window : str
        How far back it reads, a duration.
    max_steps : int
        Steps of a window at most: of a finer clock only the most recent ``max_steps`` are read
        (at 5 minutes the default 72 steps are 6 hours), since time and memory grow with steps.
    calendar : bool
        Give it the hour of the day and the day of the week; switch off for traces whose clock
        is anonymised.
    hidden_size, num_layers : int
        Width and depth of the recurrent part.
    dropout : float
        In [0, 1).
    learning_rate, weight_decay : float
        Settings of AdamW.
    batch_size, max_epochs, patience : int
        Windows per step; epochs at most; epochs without a better validation score (average
        precision for events, pinball loss for forecasts) until training stops. The best weights
        are kept. A pass in batches of 128 costs 40 % of the CPU of one in batches of 1024, whose
        buffers the system maps anew at every step.
    max_train_rows, max_valid_rows : int
        Windows per epoch at most: training draws anew each epoch, uniformly, so that the prior
        stays true; validation is drawn once.
    max_resample_rows : int
        Windows handed to a resampling strategy at most, all positives kept.
    precision : str
        ``auto``, ``32-true`` or ``bf16-mixed``; ``auto`` trains in bfloat16 where the processor
        has it. Predictions are always float32.
    """

    window: str = "48h"
    max_steps: int = 72
    calendar: bool = True
    hidden_size: int = 64
    num_layers: int = 1
    dropout: float = 0.1
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    batch_size: int = 128
    max_epochs: int = 12
    patience: int = 4
    max_train_rows: int = 200_000
    max_valid_rows: int = 100_000
    max_resample_rows: int = 50_000
    precision: str = "auto"
    fitted: FittedNetwork | None = field(default=None, init=False, repr=False)

    fitted_attributes: ClassVar[tuple[str, ...]] = ("fitted",)
    cell: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Check every range, without importing torch."""
        parse_duration(self.window, "model.window")
        for name, low, usual in _COUNTS:
            require_count(f"model.{name}", getattr(self, name), low, fix=usual)
        require_between("model.dropout", self.dropout, 0.0, 1.0, fix=0.1, open_high=True)
        rate, decay = self.learning_rate, self.weight_decay
        require_between("model.learning_rate", rate, 0.0, 1.0, fix=0.002, open_low=True)
        require_between("model.weight_decay", decay, 0.0, fix=0.0001)
        require_choice("model.precision", self.precision, PRECISIONS)

    def fit_events(
        self,
        train: Dataset,
        valid: Dataset,
        task: EventTask,
        imbalance: ImbalanceStrategy,
        runtime: Runtime,
    ) -> TrainingLog:
        """Learn from the training windows; validation windows only stop the training early.

        Class weights multiply the log loss, focal loss replaces it, and resampling acts on
        flattened windows (see :func:`optimizer.models.recurrent.data.event_source`). Validation
        is never resampled or weighted.
        """
        from optimizer.models.recurrent.objectives import EventObjective

        channels, windows, held_out = self._windows(train, valid, task.metric)
        source, line = event_source(windows, train, imbalance, self.max_resample_rows, runtime.seed)
        ranked = bool(np.ptp(valid.y) > 0)
        objective = EventObjective(imbalance.loss, ranked)
        bias = np.array([prior_logit(source, imbalance.loss)], dtype=np.float32)
        folds = (source, plain_source(held_out, valid))
        scores, best = self._fit(channels, task, objective, folds, bias, runtime)
        name = "average precision" if ranked else "loss"
        return _log(scores, best, name, sign=1.0 if ranked else -1.0, notes=(line,))

    def score_events(self, samples: Dataset) -> FloatArray:
        """Return the probability of the event, shape ``(n,)``, uncalibrated."""
        return sigmoid(predict(self._require(), samples)[:, 0])

    def fit_forecast(
        self, train: Dataset, valid: Dataset, task: ForecastTask, runtime: Runtime
    ) -> TrainingLog:
        """Learn the residual on persistence; validation windows only stop the training early.

        The output is the distance of each quantile from the last observed value of the window
        (the training mean if the window has none), in spreads of the window. Training starts at
        persistence with the training fold's own residual quantiles.
        """
        from optimizer.models.recurrent.objectives import QuantileObjective

        channels, windows, held_out = self._windows(train, valid, task.metric)
        mean, std = float(channels.mean[0]), float(channels.std[0])
        objective = QuantileObjective(task.quantiles, mean, std)
        folds = (plain_source(windows, train), plain_source(held_out, valid))
        bias = residual_quantiles(folds[0], task, (mean, std), runtime.seed)
        scores, best = self._fit(channels, task, objective, folds, bias, runtime)
        return _log(scores, best, "pinball loss", sign=-1.0, notes=())

    def predict_quantiles(self, samples: Dataset) -> FloatArray:
        """Return quantiles, shape ``(n, n_horizons, n_quantiles)``, ascending along the last.

        Levels are learned separately and sorted here: rearranging never raises the pinball loss.

        References
        ----------
        Chernozhukov, Fernández-Val and Galichon, Quantile and Probability Curves Without
        Crossing, Econometrica 2010.
        """
        fitted = self._require()
        if not isinstance(fitted.task, ForecastTask):
            raise RuntimeError("this model was fitted on events")
        task, channels = fitted.task, fitted.channels
        shape = (len(samples), len(task.horizons), len(task.quantiles))
        scaled = predict(fitted, samples).reshape(shape)
        values = np.sort(scaled, axis=-1) * np.float32(channels.std[0])
        metric = METRICS[task.metric]
        out: FloatArray = np.clip(values + np.float32(channels.mean[0]), metric.lower, metric.upper)
        return out

    def _windows(
        self, train: Dataset, valid: Dataset, metric: str
    ) -> tuple[Channels, Windows, Windows]:
        """Return the channels fitted on the training fold and the windows of both folds."""
        for name, fold in (("training", train), ("validation", valid)):
            if len(fold) == 0:
                raise InsufficientHistoryError(
                    f"{name} fold",
                    seen="no labelled rows",
                    allowed="at least one",
                    fix="use a longer history or a shorter target.horizon",
                )
        step = train.panel.step
        length = min(self.max_steps, count_steps(parse_duration(self.window, "model.window"), step))
        channels = fit_channels(train, metric, length, calendar=self.calendar)
        windows = Windows(train.panel, channels)
        same = valid.panel is train.panel
        return channels, windows, windows if same else Windows(valid.panel, channels)

    def _fit(
        self,
        channels: Channels,
        task: Task,
        objective: Objective,
        folds: tuple[WindowSource, WindowSource],
        bias: FloatArray,
        runtime: Runtime,
    ) -> tuple[dict[str, list[float]], int]:
        """Train from the given output bias; return the scores per epoch and the best epoch."""
        import torch

        from optimizer.models.recurrent import training
        from optimizer.models.recurrent.network import NetworkShape, RecurrentNetwork

        shape = NetworkShape(
            cell=self.cell,
            n_channels=channels.n_channels,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            dropout=self.dropout,
            n_outputs=len(bias),
            residual=isinstance(task, ForecastTask),
        )
        names = training.FitSchedule.__dataclass_fields__
        schedule = training.FitSchedule(**{name: getattr(self, name) for name in names})
        threads = max(1, min(runtime.threads, self.batch_size // WINDOWS_PER_THREAD))
        with training.isolated(runtime.seed, threads):
            network = RecurrentNetwork(shape)
            network.output.bias.data = torch.from_numpy(bias)
            done = training.train(network, objective, folds, schedule, runtime)
        self.fitted = FittedNetwork(channels, shape, done.best_state, task, threads)
        logger.info(
            "%s: best epoch %d of %d", self.cell, done.best_epoch, len(done.scores["valid"])
        )
        return done.scores, done.best_epoch

    def _require(self) -> FittedNetwork:
        if self.fitted is None:
            raise RuntimeError(f"{type(self).__name__} has to be fitted first")
        return self.fitted


def _log(
    scores: dict[str, list[float]], best: int, metric: str, *, sign: float, notes: tuple[str, ...]
) -> TrainingLog:
    """Return the log, with losses positive again."""
    curves = {fold: [sign * s for s in values] for fold, values in scores.items()}
    return TrainingLog(curves, metric, best, tuple(note for note in notes if note))
