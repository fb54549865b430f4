"""Run one engine once in this fresh process and print what it cost, as JSON.

Imports and making the input are left out; so is the copy of the result for the comparison of
values. Started by run.py, which fixes the number of threads.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import resource
from pathlib import Path
from typing import Any

import numpy as np

from optimizer.core.config import build, load_config
from optimizer.core.panel import Panel
from optimizer.features.base import FeatureGroup
from workload import fill_gaps, make_panel

COMPARED_ROWS = 432_000
"""Rows whose values are written for the comparison; of a larger result an even sample."""


def main() -> None:
    """Run the engine named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine")
    parser.add_argument("--services", type=int, required=True)
    parser.add_argument("--subset", action="store_true")
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    engine = importlib.import_module(f"{options.engine}_engine")
    for services in (2, options.services):  # the first, tiny run pulls in what is loaded lazily
        state = engine.prepare(*make_input(services, subset=options.subset))
        if services < options.services:
            engine.compute(*state)
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = engine.compute(*state)
    after = resource.getrusage(resource.RUSAGE_SELF)
    figures: dict[str, Any] = {
        "user": after.ru_utime - before.ru_utime,
        "system": after.ru_stime - before.ru_stime,
        "peak_mib": peak_mib(),
    }
    if options.save:
        figures["names"] = save(engine.columns(result), options.save)
    print(json.dumps(figures))


def make_input(services: int, *, subset: bool) -> tuple[Panel, list[FeatureGroup]]:
    """Return the panel and the feature groups of a comparison.

    Parameters
    ----------
    services : int
        Number of services.
    subset : bool
        Only the groups that mlforecast has a counterpart of, on input without gaps, which it
        requires; else every group of ``features=full`` on input with gaps.
    """
    nodes = load_config(["features=full"]).features.groups
    chosen = ("rolling", "lags") if subset else tuple(nodes)
    groups = [build(nodes[name], f"features.groups.{name}") for name in chosen]
    panel = make_panel(services)
    return fill_gaps(panel) if subset else panel, groups


def peak_mib() -> float:
    """Return the largest resident size of this process so far.

    The kernel's own mark of this program; the one of getrusage survives exec and would include
    the parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def save(columns: Any, path: Path) -> list[str]:
    """Write every feature's values, one after the other, and return the names in order."""
    names = []
    with path.open("wb") as file:
        for name, values in columns:
            names.append(name)
            stride = max(1, len(values) // COMPARED_ROWS)
            file.write(np.ascontiguousarray(values[::stride], dtype=np.float64).data)
    return names


if __name__ == "__main__":
    main()
