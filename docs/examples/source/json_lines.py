"""A source: telemetry as JSON lines, one object per service and step."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from optimizer.core.errors import SourceError
from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP, TIMESTAMP_DTYPE, check_frame


@dataclass(frozen=True)
class JsonLines:
    """Rows with ``id``, ``time`` (END of the step, UTC) and ``cpu`` (share of the capacity).

    Parameters
    ----------
    path : str
        The file.
    name : str
        Short name of the data, for the registry.
    freq : str, optional
        Step that rows are resampled to once they are checked.
    """

    path: str
    name: str = "json_lines"
    freq: str | None = None

    def snapshot_id(self) -> str:
        """Return what changes whenever the file does."""
        if not Path(self.path).is_file():
            raise SourceError(
                f"data.path={self.path}", seen="no such file", allowed="a file", fix="correct it"
            )
        stat = Path(self.path).stat()
        return f"{self.path} {stat.st_size} {stat.st_mtime_ns}"

    def fetch(
        self, start: pd.Timestamp | None = None, end: pd.Timestamp | None = None
    ) -> pd.DataFrame:
        """Return the canonical long frame of a range."""
        rows = pd.read_json(self.path, lines=True)
        frame = pd.DataFrame(
            {
                SERVICE: rows["id"].astype(str),
                CLUSTER: "default",
                TIMESTAMP: pd.to_datetime(rows["time"], utc=True).astype(TIMESTAMP_DTYPE),
                "cpu_utilization": rows["cpu"].astype("float32"),
            }
        )
        inside = pd.Series(True, index=frame.index)
        if start is not None:
            inside &= frame[TIMESTAMP] >= start
        if end is not None:
            inside &= frame[TIMESTAMP] < end
        return check_frame(frame[inside], "telemetry")
