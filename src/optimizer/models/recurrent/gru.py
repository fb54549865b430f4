"""The GRU; its own module so that choosing it is one class and one yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from optimizer.models.recurrent.base import RecurrentModel


@dataclass(eq=False)
class GRU(RecurrentModel):
    """Gated recurrent unit over windows; see :class:`RecurrentModel` for its parameters.

    Its batches are twice the LSTM's: torch has no fused GRU for training on a CPU, and the
    overhead per step of the window is spread over more windows.

    References
    ----------
    Cho et al., Learning Phrase Representations using RNN Encoder-Decoder for Statistical
    Machine Translation, EMNLP 2014.
    """

    batch_size: int = 256

    cell: ClassVar[str] = "GRU"
