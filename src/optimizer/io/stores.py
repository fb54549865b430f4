"""Telemetry, panels and feature tables on disk, by reference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from optimizer.columns import CLUSTER, SERVICE, TIMESTAMP, TIMESTAMP_DTYPE
from optimizer.features.base import FeatureGroup, Layout
from optimizer.features.engine import compute_features, plan_features
from optimizer.features.panel import Panel, build_panel
from optimizer.features.table import FeatureSpec, FeatureTable
from optimizer.io.artifacts import ArtifactRef, refer, write_directory, write_json


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


def store_features(panel: Panel, groups: Sequence[FeatureGroup], directory: Path) -> ArtifactRef:
    """Compute features straight into a memory map on disk.

    Parameters
    ----------
    panel : Panel
        Validated telemetry.
    groups : sequence of FeatureGroup
        The groups to compute.
    directory : pathlib.Path
        Receives ``values.npy`` (feature-major), ``rows.npz`` and ``specs.json``.

    Returns
    -------
    ArtifactRef
        Of ``values.npy``.
    """
    specs = [feature.spec for feature in plan_features(groups, Layout(panel.metrics, panel.step))]
    shape = (len(specs), int(panel.present.sum()))
    with write_directory(directory) as draft:
        values = np.lib.format.open_memmap(
            draft / "values.npy", mode="w+", dtype=np.float32, shape=shape
        )
        table = compute_features(panel, groups, values)
        values.flush()
        np.savez(draft / "rows.npz", service=table.service, step=table.step)
        write_json(draft / "specs.json", [spec.to_dict() for spec in table.specs])
        del values, table
    return refer(directory / "values.npy")


def load_features(ref: ArtifactRef) -> FeatureTable:
    """Return the feature table, its values as a read-only memory map."""
    values = np.load(ref.path, mmap_mode="r")
    rows = np.load(ref.directory / "rows.npz")
    specs = json.loads((ref.directory / "specs.json").read_text())
    return FeatureTable(
        values,
        tuple(FeatureSpec.from_dict(spec) for spec in specs),
        rows["service"],
        rows["step"],
    )
