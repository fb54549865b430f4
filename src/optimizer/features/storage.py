"""Telemetry, panels and feature tables on disk, by reference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from optimizer.core.artifacts import ArtifactRef, refer, write_directory
from optimizer.core.panel import Panel, build_panel
from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP, TIMESTAMP_DTYPE
from optimizer.features.table import FeatureSpec, FeatureTable


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a long frame as Parquet; ids stay dictionary-encoded."""
    frame.to_parquet(path, index=False, compression="zstd")


def read_frame(ref: ArtifactRef) -> pd.DataFrame:
    """Return the long frame that :func:`write_frame` wrote."""
    frame = pd.read_parquet(ref.path)
    return frame.astype({SERVICE: "category", CLUSTER: "category", TIMESTAMP: TIMESTAMP_DTYPE})


def store_telemetry(frame: pd.DataFrame, directory: Path) -> ArtifactRef:
    """Write the canonical frame into the directory, all or nothing."""
    with write_directory(directory) as draft:
        write_frame(frame, draft / "telemetry.parquet")
    return refer(directory / "telemetry.parquet")


def load_panel(telemetry: ArtifactRef, step: pd.Timedelta | None = None) -> Panel:
    """Return the dense panel of a validated frame."""
    return build_panel(read_frame(telemetry), step)


def load_features(ref: ArtifactRef) -> FeatureTable:
    """Return the feature table of a training set, its values as a read-only memory map."""
    values = np.load(ref.path, mmap_mode="r")
    rows = np.load(ref.directory / "rows.npz")
    specs = json.loads((ref.directory / "specs.json").read_text())
    return FeatureTable(
        values, tuple(FeatureSpec.from_dict(spec) for spec in specs), rows["service"], rows["step"]
    )
