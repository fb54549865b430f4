"""The network behind the recurrent models, in torch; import this module only inside functions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

LIMIT = 10.0
"""Standard deviations beyond which an input saturates the gates and says nothing more."""
FLOOR = 0.05
"""Least spread of a window, in training standard deviations: an idle service has almost none."""


@dataclass(frozen=True)
class NetworkShape:
    """Everything that decides the shapes of the weights.

    - ``cell``: ``"LSTM"`` or ``"GRU"``: a class of ``torch.nn``.
    - ``n_channels``: channels of a window; the first is the task's metric.
    - ``dropout``: in the head and between layers, in [0, 1).
    - ``n_outputs``: 1 logit, or horizons times quantiles.
    - ``residual``: outputs are distances from the last value of the window, in spreads of the
      window.
    """

    cell: str
    n_channels: int
    hidden_size: int
    num_layers: int
    dropout: float
    n_outputs: int
    residual: bool


class RecurrentNetwork(nn.Module):
    """A recurrent cell over the window and a two-layer head over its last state.

    The task's metric enters twice: at its level (a ceiling is absolute) and normalised by the
    window's own mean and spread, as in RevIN, so that the shape of a load is learned once for
    small and large services. The head also sees the window's mean, spread, maximum and last
    value. Nothing identifies a service: the network scores services it never saw.

    References
    ----------
    Kim et al., Reversible Instance Normalization for Accurate Time-Series Forecasting against
    Distribution Shift, ICLR 2022.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.residual = shape.residual
        between = shape.dropout if shape.num_layers > 1 else 0.0
        self.cell = getattr(nn, shape.cell)(
            shape.n_channels + 1,
            shape.hidden_size,
            shape.num_layers,
            batch_first=True,
            dropout=between,
        )
        self.hidden = nn.Linear(shape.hidden_size + 4, shape.hidden_size)
        self.dropout = nn.Dropout(shape.dropout)
        self.output = nn.Linear(shape.hidden_size, shape.n_outputs)
        # Zero weights: training starts at the bias, which is the prior or persistence.
        nn.init.zeros_(self.output.weight)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits or scaled quantiles, shape ``(n, n_outputs)``.

        ``windows``: float32, shape ``(n, length, n_channels)``, without NaN.
        """
        level = windows[..., 0]
        mean, spread, last = window_statistics(windows)
        shape = ((level - mean) / spread).unsqueeze(-1)
        states, _ = self.cell(torch.cat([windows, shape], dim=-1).clamp(-LIMIT, LIMIT))
        # The head stays in float32: eight bits of mantissa would tie the scores of a ranking.
        with torch.autocast(windows.device.type, enabled=False):
            peak = level.amax(dim=1, keepdim=True)
            statics = torch.cat([mean, spread, peak, last], dim=1).clamp(-LIMIT, LIMIT)
            inputs = torch.cat([states[:, -1].float(), statics], dim=1)
            raw: Tensor = self.output(self.dropout(nn.functional.gelu(self.hidden(inputs))))
        return last + spread * raw if self.residual else raw


def window_statistics(windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, spread (at least ``FLOOR``) and last value of the task's metric.

    Each of shape ``(n, 1)``, in training standard deviations. ``windows``: shape ``(n, length,
    n_channels)``.
    """
    level = windows[..., 0]
    mean = level.mean(dim=1, keepdim=True)
    spread = (level.var(dim=1, correction=0, keepdim=True) + FLOOR**2).sqrt()
    return mean, spread, level[:, -1:]
