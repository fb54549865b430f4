"""The last steps of a fleet's telemetry, kept up to date row by row: what serving reads."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.errors import SchemaError
from optimizer.core.panel import BoolArray, FloatArray, IntArray, Panel, carry_forward
from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP
from optimizer.features.base import Layout

SLACK = 8
"""A buffer holds an eighth more steps than it keeps, so that it is moved up but rarely."""


class TelemetryBuffer:
    """The last steps of every metric of a growing set of services.

    Arrays are time-major: the services at one step, and the steps of a window, lie side by side.
    Steps are appended; when the end of the memory is reached, the kept ones move to its start,
    so that a window never wraps around.

    ``metrics``: the metrics to keep. ``step``: length of one step. ``keep_steps``: how many steps
    to keep, the newest included. ``newest``: UTC end of the newest step, to the microsecond; later
    rows move it on. ``ignored``: rows so far that were older than the buffer.
    """

    def __init__(
        self, metrics: tuple[str, ...], step: pd.Timedelta, keep_steps: int, newest: np.datetime64
    ) -> None:
        self.metrics = metrics
        self.step = step
        self.keep_steps = keep_steps
        self.newest = newest
        self.ignored = 0
        self._services = _index(())
        self._cluster_names = _index(())
        rows = keep_steps + keep_steps // SLACK + 1
        self._end = keep_steps
        self._values = np.full((len(metrics), rows, 0), np.nan, dtype=np.float32)
        self._clusters = np.full((rows, 0), -1, dtype=np.int32)
        self._present = np.zeros((rows, 0), dtype=bool)

    @classmethod
    def from_panel(cls, panel: Panel, keep_steps: int) -> TelemetryBuffer:
        """Return a buffer that holds the last steps of a panel."""
        buffer = cls(panel.metrics, panel.step, keep_steps, panel.timestamps[-1])
        buffer._cluster_names = _index(panel.cluster_names)
        buffer._add_services(_index(panel.services))
        kept = min(keep_steps, panel.n_steps)
        rows = slice(keep_steps - kept, keep_steps)
        places = slice(0, panel.n_services)
        buffer._values[:, rows, places] = panel.values[:, :, -kept:].transpose(0, 2, 1)
        buffer._clusters[rows, places] = panel.clusters[:, -kept:].T
        buffer._present[rows, places] = panel.present[:, -kept:].T
        return buffer

    @property
    def layout(self) -> Layout:
        """What feature groups must know of the telemetry."""
        return Layout(self.metrics, self.step)

    @property
    def services(self) -> tuple[str, ...]:
        """Names of the services, in order of arrival."""
        return tuple(self._services)

    @property
    def n_services(self) -> int:
        """Number of services."""
        return len(self._services)

    @property
    def cluster_names(self) -> tuple[str, ...]:
        """Names that the cluster codes stand for."""
        return tuple(self._cluster_names)

    @property
    def present(self) -> BoolArray:
        """Which services have a row at the newest step."""
        return self._present[self._end - 1, : self.n_services]

    def tail(self, metric: str, steps: int, skip: int = 0) -> FloatArray:
        """Return the last steps of a metric, a view of shape ``(steps, n_services)``.

        ``steps``: how many steps; fewer are returned where the buffer keeps fewer. ``skip``: how
        many of the newest steps to leave out.
        """
        start = self._end - min(steps, self.keep_steps)
        rows = slice(start, self._end - skip)
        return self._values[self.metrics.index(metric), rows, : self.n_services]

    def tail_clusters(self, steps: int) -> IntArray:
        """Return the cluster codes of the last steps, a view; the last known one in gaps."""
        start = self._end - min(steps, self.keep_steps)
        return self._clusters[start : self._end, : self.n_services]

    def update(self, frame: pd.DataFrame) -> int:
        """Take in rows; of two rows of a service and step the last one holds.

        Returns how many rows were older than the buffer and ignored. ``frame``: canonical long
        frame with every metric of the buffer. A later step than the newest moves the clock on, and
        skipped steps are gaps. An older row overwrites its cell. Raises SchemaError: a column is
        missing or a timestamp lies off the clock; nothing is taken in then.
        """
        self._check_columns(frame)
        ahead = self._steps_ahead(frame[TIMESTAMP])
        if len(ahead) == 0:
            return 0
        self._advance(max(int(ahead.max()), 0))
        row = self._end - 1 + ahead - max(int(ahead.max()), 0)
        kept = row >= self._end - self.keep_steps
        if not kept.all():
            frame, row = frame[kept], row[kept]
        self._write(frame, row)
        ignored = int(np.count_nonzero(~kept))
        self.ignored += ignored
        return ignored

    def _check_columns(self, frame: pd.DataFrame) -> None:
        wanted = (SERVICE, CLUSTER, TIMESTAMP, *self.metrics)
        missing = [name for name in wanted if name not in frame.columns]
        if missing:
            raise SchemaError(
                f"column {', '.join(missing)}",
                seen=f"columns {', '.join(map(str, frame.columns))}",
                allowed=f"at least {', '.join(wanted)}",
                fix="send every metric that the buffer was made with; NaN where unknown",
            )

    def _steps_ahead(self, times: pd.Series) -> NDArray[np.int64]:
        """Return how many steps after the newest each row lies, negative for earlier ones."""
        clock = times.to_numpy("datetime64[us]").astype(np.int64)
        ahead, rest = np.divmod(
            clock - self.newest.astype("datetime64[us]").astype(np.int64), self.step.value // 1000
        )
        if rest.any():
            wrong = times.iloc[int(np.argmax(rest != 0))]
            raise SchemaError(
                f"column {TIMESTAMP}",
                seen=f"{wrong}, off the clock",
                allowed=f"{self.newest} UTC and whole steps of {self.step} from it",
                fix="resample the rows to the clock of the history",
            )
        return np.asarray(ahead, dtype=np.int64)

    def _advance(self, steps: int) -> None:
        """Append steps that are gaps so far; every service stays in its cluster."""
        if steps == 0:
            return
        self.newest = self.newest + np.timedelta64(steps * self.step.value // 1000, "us")
        last = self._clusters[self._end - 1].copy()
        start, self._end = self._end, self._end + steps
        if self._end > len(self._present):
            kept = max(self.keep_steps - steps, 0)
            old, new = slice(start - kept, start), slice(0, kept)
            self._values[:, new] = self._values[:, old]
            self._clusters[new], self._present[new] = self._clusters[old], self._present[old]
            start, self._end = kept, self.keep_steps
        self._values[:, start : self._end] = np.nan
        self._clusters[start : self._end] = last
        self._present[start : self._end] = False

    def _write(self, frame: pd.DataFrame, row: NDArray[np.int64]) -> None:
        """Set the cells of the rows; services and clusters not seen before are added."""
        names = _index(frame[SERVICE].astype(str))
        self._add_services(names.difference(self._services))
        clusters = _index(frame[CLUSTER].astype(str))
        self._cluster_names = self._cluster_names.append(clusters.difference(self._cluster_names))
        place = self._services.get_indexer(names)
        for index, metric in enumerate(self.metrics):
            self._values[index, row, place] = frame[metric].to_numpy(np.float32, na_value=np.nan)
        codes = self._cluster_names.get_indexer(clusters).astype(np.int32)
        late = np.unique(place[row < self._end - 1])
        self._clusters[row, place] = codes
        self._present[row, place] = True
        if len(late):
            self._carry_clusters(late)

    def _carry_clusters(self, places: NDArray[np.intp]) -> None:
        """Let the last known cluster of these services hold in the gaps after it again."""
        rows = slice(self._end - self.keep_steps, self._end)
        known = self._present[rows, places].T.copy()
        known[:, 0] = True  # known from before
        codes = np.where(known, self._clusters[rows, places].T, np.int32(-1))
        self._clusters[rows, places] = carry_forward(codes).T

    def _add_services(self, names: pd.Index[str]) -> None:
        """Append services; the arrays double when they are full."""
        start = self.n_services
        self._services = self._services.append(names)
        room = self._present.shape[1]
        if self.n_services <= room:
            return
        more = max(self.n_services, 2 * start) - room
        end = ((0, 0), (0, more))
        self._values = np.pad(self._values, ((0, 0), *end), constant_values=np.nan)
        self._clusters = np.pad(self._clusters, end, constant_values=-1)
        self._present = np.pad(self._present, end)


def _index(names: Iterable[str]) -> pd.Index[str]:
    index: pd.Index[str] = pd.Index(np.array(list(names), dtype=object))
    return index
