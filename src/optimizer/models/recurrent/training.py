"""Training of the recurrent models with Lightning; import this module only inside functions.

Nothing is written to disk: the best weights are kept in memory, and Lightning's loggers,
checkpoints and notices are off. Random state, threads and log levels are given back as found.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from optimizer.core.panel import FloatArray
from optimizer.models.base import Runtime
from optimizer.models.callbacks import TrainingCallback, TrainingStopped
from optimizer.models.recurrent.batches import Batch, WindowSource, make_loader
from optimizer.models.recurrent.network import RecurrentNetwork
from optimizer.models.recurrent.objectives import Objective


@dataclass(frozen=True)
class FitSchedule:
    """How long and how fast to learn.

    - ``batch_size``, ``max_epochs``, ``patience``: rows per step; epochs at most; epochs without a
      better validation score until the stop.
    - ``max_train_rows``, ``max_valid_rows``: rows per epoch at most: a new uniform draw for each
      epoch of training (uniform, so that the prior stays true), one draw for all of validation.
    - ``precision``: a precision of Lightning's Trainer, or ``"auto"``.
    """

    learning_rate: float
    weight_decay: float
    batch_size: int
    max_epochs: int
    patience: int
    max_train_rows: int
    max_valid_rows: int
    precision: str


class RecurrentTask(pl.LightningModule):  # type: ignore[misc]
    """One network with its objective; keeps the score of every epoch and the best weights."""

    def __init__(
        self, network: RecurrentNetwork, objective: Objective, schedule: FitSchedule
    ) -> None:
        super().__init__()
        self.network, self.objective, self.schedule = network, objective, schedule
        self.scores: dict[str, list[float]] = {"train": [], "valid": []}
        self.best_score, self.best_epoch = -math.inf, 0
        self.best_state: dict[str, FloatArray] = state_of(network)
        self._seen: dict[str, list[tuple[Tensor, Tensor]]] = {"train": [], "valid": []}

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch and keep its outputs for the epoch's score."""
        windows, y, weight = batch
        output = self.network(windows)
        self._keep("train", output, y)
        return self.objective.loss(output, y, weight)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Keep the outputs of a batch for the epoch's score."""
        self._keep("valid", self.network(batch[0]), batch[1])

    def on_validation_epoch_end(self) -> None:
        """Score the epoch, keep the weights if they are the best, stop when patience ends."""
        score, epoch = self._close("valid"), len(self.scores["valid"])
        if score > self.best_score:
            self.best_score, self.best_epoch = score, epoch
            self.best_state = state_of(self.network)
        elif epoch - self.best_epoch >= self.schedule.patience:
            self.trainer.should_stop = True

    def on_train_epoch_end(self) -> None:
        """Score the epoch on its training batches, as they were when each was learned from."""
        self._close("train")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW."""
        rate, decay = self.schedule.learning_rate, self.schedule.weight_decay
        return torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=decay)

    def _keep(self, fold: str, output: Tensor, y: Tensor) -> None:
        self._seen[fold].append((output.detach().float().cpu(), y.cpu()))

    def _close(self, fold: str) -> float:
        outputs, labels = zip(*self._seen[fold], strict=True)
        self._seen[fold] = []
        output = torch.cat(outputs)
        finite = bool(torch.isfinite(output).all())
        score = self.objective.score(output, torch.cat(labels)) if finite else -math.inf
        self.scores[fold].append(score)
        return score


class WatchCallback(pl.Callback):  # type: ignore[misc]
    """Reports the validation figure of every epoch and ends the training if the watcher does.

    ``watch``: told the average precision, or the pinball loss of forecasts. ``epochs``: epochs at
    most.
    """

    def __init__(self, watch: TrainingCallback, epochs: int) -> None:
        self.watch, self.epochs = watch, epochs
        self.error: TrainingStopped | None = None

    def on_validation_end(self, trainer: pl.Trainer, task: RecurrentTask) -> None:
        """Report; the error waits until Lightning has put everything away."""
        scores = task.scores["valid"]
        try:
            self.watch.report(len(scores) / self.epochs, task.objective.sign * scores[-1])
        except TrainingStopped as stopped:
            self.error = stopped
            trainer.should_stop = True


def state_of(network: torch.nn.Module) -> dict[str, FloatArray]:
    """Return a copy of the weights as arrays on the CPU."""
    return {name: value.detach().cpu().numpy().copy() for name, value in _state(network).items()}


def load_state(network: torch.nn.Module, state: dict[str, FloatArray]) -> None:
    """Put weights from :func:`state_of` into the network."""
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})


def _state(network: torch.nn.Module) -> dict[str, Tensor]:
    return dict(network.state_dict())


def train(
    network: RecurrentNetwork,
    objective: Objective,
    folds: tuple[WindowSource, WindowSource],
    schedule: FitSchedule,
    runtime: Runtime,
) -> RecurrentTask:
    """Train on the first fold, stop early by the second, and return the finished task.

    ``network``: trained in place; the best weights are in the result's ``best_state``.
    ``objective``: loss and score. ``runtime``: seed and progress; call inside :func:`isolated`.
    """
    task = RecurrentTask(network, objective, schedule)
    watcher = WatchCallback(runtime.watch, schedule.max_epochs)
    size, seed = schedule.batch_size, runtime.seed
    learn = make_loader(folds[0], schedule.max_train_rows, size, seed, fresh=True)
    check = make_loader(folds[1], schedule.max_valid_rows, size, seed, fresh=False)
    trainer = pl.Trainer(
        max_epochs=schedule.max_epochs,
        accelerator="auto",
        devices=1,
        precision=precision_for(schedule.precision),
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=runtime.progress,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=[watcher] if runtime.watch.active else None,
    )
    trainer.fit(task, learn, check)
    if watcher.error is not None:
        raise watcher.error
    return task


def precision_for(precision: str) -> Any:
    """Return Lightning's name of the precision; ``"auto"`` is bfloat16 where the CPU has it."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    # Without these instructions bfloat16 is emulated, far slower than float32.
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return "bf16-mixed" if probe is not None and probe() else "32-true"


_ALONE = Lock()  # torch's seed and threads belong to the whole process


@contextmanager
def isolated(seed: int, threads: int) -> Iterator[None]:
    """Seed torch, set its threads and silence Lightning; give everything back afterwards.

    Trainings in other threads wait: they would draw from the same seed. ``seed``: seeds torch on
    every device; the state found is restored. ``threads``: threads of torch within the block.
    """
    noisy = logging.getLogger("pytorch_lightning")
    devices = list(range(torch.cuda.device_count()))
    with _ALONE, torch.random.fork_rng(devices=devices), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, level = torch.get_num_threads(), noisy.level
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        noisy.setLevel(logging.ERROR)
        try:
            yield
        finally:
            noisy.setLevel(level)
            torch.set_num_threads(before)
