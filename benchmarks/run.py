"""Compare the feature engine with pandas, Polars and mlforecast: CPU time, memory and values.

Run ``python benchmarks/run.py`` (or with ``--quick`` for the small size only). Every run is a
fresh process with one thread; what counts is its user and system time while it computes. The
engines take turns; the first round warms the machine's memory up and yields the values that are
compared, the median of three more rounds is reported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import newest
import store
import sweep
from agreement import TOLERANCE, compare_values
from workload import STEPS

HERE = Path(__file__).resolve().parent
RESULT = HERE.parent / "out" / "bench.json"
ROUNDS = 3
PEAK_MIB = 2560
ENGINES = {False: ("panel", "pandas", "polars"), True: ("panel", "pandas", "mlforecast")}
TITLES = {
    False: "all features, 1 % of the cells NaN",
    True: "lags and rolling statistics (what mlforecast has), gaps filled (it takes none)",
}
PACKAGES = (
    "numpy", "bottleneck", "pandas", "polars", "mlforecast", "coreforecast", "duckdb", "feast"
)  # fmt: skip
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
)


@dataclass(frozen=True)
class Size:
    """Services of a comparison, the ratio to pandas it must reach, and memory to warm up."""

    services: int
    ratio: float
    warm_gib: float


SIZES = (
    Size(services=200, ratio=15.0, warm_gib=1.5),
    Size(services=1000, ratio=10.0, warm_gib=6.0),
)


@dataclass(frozen=True)
class Row:
    """One line of the table: medians over the rounds, seconds and MiB."""

    rows: int
    comparison: str
    engine: str
    features: int
    user_s: float
    system_s: float
    cpu_s: float
    pandas_ratio: float
    peak_mib: float
    deviation: float
    deviation_of: str


def main() -> int:
    """Run the comparisons, print the tables, write the figures; 1 if a requirement is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="432,000 rows only")
    parser.add_argument("--only", choices=("engine", "newest", "store", "sweep"), help="one part")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    missed: list[str] = []
    if options.only in (None, "engine"):
        table: list[Row] = []
        for size in SIZES[:1] if options.quick else SIZES:
            for subset in ENGINES:
                rows = compare(size, subset=subset)
                print_rows(rows, TITLES[subset])
                table += rows
            missed += check(table, size)
        figures["rows"] = [asdict(row) for row in table]
    if options.only in (None, "newest"):
        figures["newest_step"] = newest.measure(THREADS)
        newest.print_figures(figures["newest_step"])
        missed += newest.check(figures["newest_step"])
    if options.only in (None, "store"):
        figures["store"] = store.measure()
        store.print_figures(figures["store"])
        missed += store.check(figures["store"])
    if options.only in (None, "sweep"):
        figures["sweep"] = sweep.measure()
        sweep.print_figures(figures["sweep"])
        missed += sweep.check(figures["sweep"])
    part = f" of {options.only}" if options.only else ""
    verdict = "; ".join(missed) or f"all requirements{part} met"
    print(f"\n{verdict} ({requirements()})")
    write(figures, verdict)
    print(f"figures: {RESULT.relative_to(HERE.parent)}")
    return 1 if missed else 0


def compare(size: Size, *, subset: bool) -> list[Row]:
    """Run all engines of a comparison in turns and return their lines."""
    engines = ENGINES[subset]
    runs: dict[str, list[dict[str, Any]]] = {engine: [] for engine in engines}
    with tempfile.TemporaryDirectory() as folder:
        saved = {engine: Path(folder) / engine for engine in engines}
        names = {}
        for engine in engines:
            names[engine] = run(engine, size, subset=subset, save=saved[engine])["names"]
        worst = {
            engine: compare_values(
                load(saved["pandas"], names["pandas"]), load(saved[engine], names[engine])
            )
            for engine in engines
        }
    for _ in range(ROUNDS):
        for engine in engines:
            runs[engine].append(run(engine, size, subset=subset))
    cpu = {engine: median(runs[engine], "user", "system") for engine in engines}
    return [
        Row(
            rows=size.services * STEPS,
            comparison="subset" if subset else "full",
            engine=engine,
            features=len(names[engine]),
            user_s=median(runs[engine], "user"),
            system_s=median(runs[engine], "system"),
            cpu_s=cpu[engine],
            pandas_ratio=cpu["pandas"] / cpu[engine],
            peak_mib=median(runs[engine], "peak_mib"),
            deviation=worst[engine][0],
            deviation_of=worst[engine][1],
        )
        for engine in engines
    ]


def median(runs: list[dict[str, Any]], *keys: str) -> float:
    """Return the median over the runs of the sum of the keys."""
    return float(statistics.median(sum(figures[key] for key in keys) for figures in runs))


def run(engine: str, size: Size, *, subset: bool, save: Path | None = None) -> dict[str, Any]:
    """Run one engine in a fresh process with one thread and return its figures.

    A throwaway process touches as much memory first: on a virtual machine the first touch of a
    page is many times dearer than later ones, and would be charged to whoever comes first.
    """
    environment = os.environ | dict.fromkeys(THREADS, "1")
    touch = f"import numpy; numpy.ones({int(size.warm_gib * 2**27)})"  # in large pages, as arrays
    subprocess.run([sys.executable, "-c", touch], check=True)
    command = [sys.executable, str(HERE / "worker.py"), engine, "--services", str(size.services)]
    command += ["--subset"] if subset else []
    command += ["--save", str(save)] if save else []
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def load(path: Path, names: list[str]) -> dict[str, Any]:
    """Return the saved values by feature, as views of the file."""
    values = np.memmap(path, dtype=np.float64, mode="r").reshape(len(names), -1)
    return dict(zip(names, values, strict=True))


def check(table: list[Row], size: Size) -> list[str]:
    """Return which requirements the engine misses at this size."""
    ours = [
        row
        for row in table
        if row.engine == "panel" and row.rows == size.services * STEPS and row.comparison == "full"
    ]
    missed = []
    for row in ours:
        if row.pandas_ratio < size.ratio:
            missed.append(f"MISSED at {row.rows:,} rows: {row.pandas_ratio:.1f} x pandas")
        if row.deviation > TOLERANCE:
            missed.append(f"MISSED at {row.rows:,} rows: {row.deviation_of} off by {row.deviation}")
        if row.peak_mib > PEAK_MIB:
            missed.append(f"MISSED at {row.rows:,} rows: peak {row.peak_mib:.0f} MiB")
    return missed


def requirements() -> str:
    """Return the requirements as text."""
    ratios = ", ".join(f"{size.ratio:.0f} x pandas at {size.services * STEPS:,}" for size in SIZES)
    return (
        f"{ratios} rows; newest step {newest.RATIO:.0f} x polars; training set at most "
        f"{store.RATIO} x a bare join, reads of 1 and 100 services "
        f"{' and '.join(f'{limit:.0f}' for limit in store.LIMIT_MS.values())} ms; "
        f"a job of a sweep {sweep.LIMIT_SECONDS:.0f} s beside its fits; "
        f"deviation {TOLERANCE:.0e}; peak {PEAK_MIB} MiB"
    )


def print_rows(rows: list[Row], title: str) -> None:
    """Print the lines of one comparison."""
    print(f"\n{rows[0].rows:,} rows x {rows[0].features} features: {title}")
    print(
        f"{'engine':<11}{'CPU s':>8}{'user':>8}{'system':>8}{'pandas /':>10}"
        f"{'peak MiB':>10}{'deviation':>11}  of column"
    )
    for row in rows:
        off = f"{row.deviation:>11.1e}  {row.deviation_of}" if row.engine != "pandas" else ""
        print(
            f"{row.engine:<11}{row.cpu_s:>8.3f}{row.user_s:>8.3f}{row.system_s:>8.3f}"
            f"{row.pandas_ratio:>10.1f}{row.peak_mib:>10.0f}{off}",
            flush=True,
        )


def write(figures: dict[str, Any], verdict: str) -> None:
    """Write the figures with the versions that produced them; parts not measured stay."""
    RESULT.parent.mkdir(exist_ok=True)
    known = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    about = {
        "verdict": verdict,
        "rounds": ROUNDS,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cpus": os.cpu_count(),
        },
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
    }
    RESULT.write_text(json.dumps(known | about | figures, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
