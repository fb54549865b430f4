"""The LSTM; its own module so that choosing it is one class and one yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from optimizer.models.recurrent.base import RecurrentModel


@dataclass(eq=False)
class LSTM(RecurrentModel):
    """Long short-term memory over windows; see :class:`RecurrentModel` for its parameters.

    References
    ----------
    Hochreiter and Schmidhuber, Long Short-Term Memory, Neural Computation 1997.
    """

    cell: ClassVar[str] = "LSTM"
