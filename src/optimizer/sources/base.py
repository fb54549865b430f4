"""The protocol of a telemetry source."""

from __future__ import annotations

from typing import Protocol

import pandas as pd


class TelemetrySource(Protocol):
    """Where telemetry comes from; constructors only store, ``load`` reads."""

    @property
    def name(self) -> str:
        """Short name of the data, for the registry: ``synthetic``, or a file's stem."""
        ...

    def fingerprint(self) -> str:
        """Return a text that changes whenever ``load`` would return something else.

        Raises
        ------
        SourceError
            The path does not exist.
        """
        ...

    def load(self) -> pd.DataFrame:
        """Return the canonical long frame (see :mod:`optimizer.core.schema`).

        Raises
        ------
        SourceError
            Nothing can be read.
        SchemaError
            A required column is missing or is not numeric.
        """
        ...
