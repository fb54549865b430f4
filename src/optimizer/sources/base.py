"""The protocol of a telemetry source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

import pandas as pd

from optimizer.core.schema import TIMESTAMP


@runtime_checkable
class TelemetrySource(Protocol):
    """Where telemetry comes from; constructors only store, ``fetch`` reads."""

    @property
    def name(self) -> str:
        """Short name of the data, for the registry: ``synthetic``, or a file's stem."""
        ...

    @property
    def freq(self) -> str | None:
        """Step that the rows are resampled to once they are checked; None leaves them."""
        ...

    def snapshot_id(self) -> str:
        """Return a text that changes whenever ``fetch`` would return something else.

        Of files it is made of their content's identity; of a live source, of the range that is
        asked for, with its end fixed.

        Raises
        ------
        SourceError
            The path or server does not exist.
        """
        ...

    def fetch(
        self, start: pd.Timestamp | None = None, end: pd.Timestamp | None = None
    ) -> pd.DataFrame:
        """Return the canonical long frame (see :mod:`optimizer.core.schema`) of a range.

        Parameters
        ----------
        start, end : pandas.Timestamp, optional
            UTC: rows with ``start <= event_timestamp < end``; all there are by default.

        Raises
        ------
        SourceError
            Nothing can be read.
        SchemaError
            A required column is missing or is not numeric.
        """
        ...


class WholeSource(ABC):
    """A source that can only be read whole; a range is cut from what was read."""

    def fetch(
        self, start: pd.Timestamp | None = None, end: pd.Timestamp | None = None
    ) -> pd.DataFrame:
        """Return the rows with ``start <= event_timestamp < end``: see ``TelemetrySource``."""
        frame = self._read()
        if start is not None:
            frame = frame[frame[TIMESTAMP] >= start]
        return frame if end is None else frame[frame[TIMESTAMP] < end]

    @abstractmethod
    def _read(self) -> pd.DataFrame:
        """Return all rows."""
