"""Compare the newest step from the buffer with Polars: CPU time of one step and values.

Serving needs the features of the last step only. Both start from history that lies ready in
memory, for 1,000 services, and compute all features of that step; one fresh process with one
thread, in turns, the median of several rounds.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agreement import TOLERANCE, compare_values

SERVICES = 1000
ROUNDS = 15
RATIO = 10.0


def measure(threads: Sequence[str]) -> dict[str, Any]:
    """Return the figures of a fresh process in which these variables allow one thread."""
    environment = os.environ | dict.fromkeys(threads, "1")
    command = [sys.executable, str(Path(__file__).resolve())]
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def print_figures(figures: dict[str, Any]) -> None:
    """Print the comparison."""
    print(
        f"\nnewest step of {figures['services']:,} services x {figures['features']} features\n"
        f"{'engine':<11}{'CPU ms':>8}{'polars /':>10}{'deviation':>11}  of column\n"
        f"{'buffer':<11}{figures['buffer_ms']:>8.2f}{figures['polars_ratio']:>10.1f}"
        f"{figures['deviation']:>11.1e}  {figures['deviation_of']}\n"
        f"{'polars':<11}{figures['polars_ms']:>8.2f}{1:>10.1f}"
    )


def check(figures: dict[str, Any]) -> list[str]:
    """Return which requirements the newest step misses."""
    missed = []
    if figures["polars_ratio"] < RATIO:
        missed.append(f"MISSED: newest step {figures['polars_ratio']:.1f} x polars")
    if figures["deviation"] > TOLERANCE:
        missed.append(f"MISSED: newest {figures['deviation_of']} off by {figures['deviation']}")
    return missed


def main() -> None:
    """Measure in this process and print the figures as JSON."""
    import newest_polars
    from optimizer.core.durations import count_steps
    from optimizer.features.base import Layout
    from optimizer.features.buffer import TelemetryBuffer
    from optimizer.features.engine import longest_reach, plan_features
    from optimizer.features.newest_block import newest_features, steps_to_keep
    from worker import make_input

    logging.disable(logging.WARNING)
    panel, groups = make_input(SERVICES, subset=False)
    features = plan_features(groups, Layout(panel.metrics, panel.step))
    specs = [feature.spec for feature in features]
    buffer = TelemetryBuffer.from_panel(panel, steps_to_keep(specs, panel.step))
    steps = count_steps(longest_reach(specs), panel.step) + 1
    tail = newest_polars.prepare_tail(panel, groups, steps)
    runs: dict[str, Callable[[], Any]] = {
        "buffer": lambda: newest_features(buffer, features),
        "polars": lambda: newest_polars.compute(*tail),
    }
    found = {name: run() for name, run in runs.items()}  # pulls in what is loaded lazily
    given = dict(zip(found["buffer"].names, found["buffer"].values, strict=True))
    worst = compare_values(newest_polars.columns(found["polars"]), given)
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            before = time.process_time()
            run()
            spent[name].append(1e3 * (time.process_time() - before))
    ours, theirs = (statistics.median(spent[name]) for name in runs)
    figures = {
        "services": SERVICES,
        "features": len(features),
        "buffer_ms": ours,
        "polars_ms": theirs,
        "polars_ratio": theirs / ours,
        "deviation": worst[0],
        "deviation_of": worst[1],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
