"""FittedNetwork recurrent networks as plain arrays, and their outputs; torch is imported on use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.models.recurrent.windows import Channels, Windows
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import Task

if TYPE_CHECKING:
    from optimizer.models.recurrent.network import NetworkShape

PREDICT_BATCH = 512
"""Windows per batch of prediction: twice as fast as 8192, whose buffers leave the cache."""


@dataclass(frozen=True)
class FittedNetwork:
    """All that prediction needs, without torch: arrays and settings only."""

    channels: Channels
    shape: NetworkShape
    state: dict[str, FloatArray]
    task: Task
    threads: int


def predict(fitted: FittedNetwork, samples: Dataset) -> FloatArray:
    """Return the network's outputs in float32, shape ``(n, n_outputs)``.

    ``samples``: rows to predict; of each the window that ends at its step is read, and nothing
    later. Raises ConfigError: the panel has another step than in training or lacks a metric.
    """
    import torch

    from optimizer.models.recurrent import training
    from optimizer.models.recurrent.network import RecurrentNetwork

    windows = Windows(samples.panel, fitted.channels)
    service, step = samples.service, samples.step
    out = np.empty((len(samples), fitted.shape.n_outputs), dtype=np.float32)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with training.isolated(0, fitted.threads), torch.inference_mode():
        network = RecurrentNetwork(fitted.shape)
        training.load_state(network, fitted.state)
        network.to(device).eval()
        for start in range(0, len(samples), PREDICT_BATCH):
            rows = slice(start, start + PREDICT_BATCH)
            batch = torch.from_numpy(windows.batch(service[rows], step[rows]))
            out[rows] = network(batch.to(device)).cpu().numpy()
    return out
