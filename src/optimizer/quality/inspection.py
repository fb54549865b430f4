"""The quality step: what was found is on disk before anything is raised."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from optimizer.quality.docs import write_docs
from optimizer.quality.guard import Inspection, TelemetryGuard
from optimizer.quality.report import QualityReport

REPORT_FILE = "quality.json"
QUARANTINE_FILE = "quarantine.parquet"
DOCS_DIRECTORY = "data_docs"
logger = logging.getLogger(__name__)


def inspect_telemetry(
    frame: pd.DataFrame,
    guard: TelemetryGuard,
    directory: Path,
    step: pd.Timedelta | None = None,
    *,
    on_grid: bool = True,
) -> tuple[pd.DataFrame, QualityReport]:
    """Return the validated telemetry and the report; write the report, quarantine and docs.

    Parameters
    ----------
    frame : pandas.DataFrame
        Canonical long frame, shape ``(n_rows, n_columns)``, in order of arrival.
    guard : TelemetryGuard
        Rules, limits and severities.
    directory : pathlib.Path
        Receives ``quality.json``, ``data_docs/index.html`` and, if rows were quarantined,
        ``quarantine.parquet``. Each appears whole or not at all; what an earlier run left
        there is replaced.
    step : pandas.Timedelta, optional
        Length of a step; inferred from the rows if absent.
    on_grid : bool
        Quarantine rows off the grid; not wanted where rows are about to be resampled.

    Returns
    -------
    tuple of pandas.DataFrame and QualityReport
        The rows kept, in order of arrival, and the report.

    Raises
    ------
    SchemaError
        The frame is not canonical; nothing is written.
    DataQualityError
        A check of severity error failed; the message names the report, which is written.
    """
    found = guard.inspect(frame, step, on_grid=on_grid)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".quality-", dir=directory) as stage:
        _write(found, Path(stage))
        for name in (QUARANTINE_FILE, DOCS_DIRECTORY, REPORT_FILE):
            _publish(Path(stage) / name, directory / name)
    for line in found.report.summary().splitlines():
        logger.info(line)
    found.report.raise_on_error(directory / REPORT_FILE)
    return found.split.kept, found.report


def _write(found: Inspection, stage: Path) -> None:
    if len(found.split.quarantined):
        found.split.quarantined.to_parquet(stage / QUARANTINE_FILE, index=False)
    write_docs(found.run, found.report, stage / DOCS_DIRECTORY)
    text = json.dumps(found.report.to_dict(), indent=2)
    (stage / REPORT_FILE).write_text(text + "\n", encoding="utf-8")


def _publish(staged: Path, final: Path) -> None:
    """Move a staged file or directory into place; what was there before goes."""
    if final.is_dir():
        shutil.rmtree(final)
    elif not staged.exists():
        final.unlink(missing_ok=True)
    if staged.exists():
        staged.replace(final)
