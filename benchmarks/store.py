"""Measure the feature store: training sets beside a bare ASOF join, and online reads.

One million rows of 150 features. Every measurement is a process of its own (``python
benchmarks/store.py <what> <directory>`` is one), they take turns, and medians are reported.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from optimizer.core.config import CONF_DIR, build, load_config
from optimizer.core.schema import SERVICE, TIMESTAMP
from optimizer.delivery.serving.online import OnlineReader
from optimizer.features.schema import StoreSchema
from optimizer.features.store.integrity import view_pattern
from optimizer.features.store.partitions import store_range
from optimizer.features.store.retrieval import ROW, entity_rows, fetch_with_duckdb, fetch_with_feast
from optimizer.features.store.store import FeatureStore
from worker import peak_mib
from workload import STEPS, make_panel

SERVICES = 463
GROUPS = ("workload", "rolling", "pressure", "lags", "seasonal", "same_time", "trends")
WIDE = "wide.parquet"
JOINS = ("bare", "duckdb", "feast")
ROUNDS, READS = 3, 300
RATIO, PEAK_MIB = 2.5, 4096
LIMIT_MS = {1: 3.0, 100: 60.0}


def measure() -> dict[str, Any]:
    """Return medians of each join, and the percentiles of online reads."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made = _run("make", home)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in JOINS}
        for _ in range(ROUNDS):
            for name in JOINS:
                runs[name].append(_run(name, home))
        reads = _run("reads", home)
    medians = {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in runs.items()
    }
    return made | {"joins": medians, "reads": reads}


def print_figures(figures: dict[str, Any]) -> None:
    """Print the joins and the reads."""
    joins = figures["joins"]
    print(f"\n{figures['rows']:,} rows x {figures['features']} features from the store")
    print(f"{'join':<28}{'wall s':>8}{'CPU s':>8}{'x bare':>8}{'peak MiB':>10}")
    titles = {
        "bare": "bare DuckDB ASOF, one file",
        "duckdb": "DuckDB, view by view",
        "feast": "Feast's own",
    }
    for name in JOINS:
        one = joins[name]
        ratio = one["wall"] / joins["bare"]["wall"]
        print(
            f"{titles[name]:<28}{one['wall']:>8.2f}{one['cpu']:>8.2f}{ratio:>8.2f}"
            f"{one['peak_mib']:>10.0f}",
            flush=True,
        )
    for size in LIMIT_MS:
        one = figures["reads"][str(size)]
        print(f"online read of {size} services: p50 {one['p50']:.2f} ms, p99 {one['p99']:.2f} ms")


def check(figures: dict[str, Any]) -> list[str]:
    """Return which requirements are missed."""
    joins, missed = figures["joins"], []
    ratio = joins["duckdb"]["wall"] / joins["bare"]["wall"]
    if ratio > RATIO:
        missed.append(f"MISSED: training set {ratio:.2f} x a bare join, not {RATIO}")
    if joins["duckdb"]["peak_mib"] > PEAK_MIB:
        missed.append(f"MISSED: training set peaks at {joins['duckdb']['peak_mib']:.0f} MiB")
    for size, limit in LIMIT_MS.items():
        p99 = figures["reads"][str(size)]["p99"]
        if p99 > limit:
            missed.append(f"MISSED: read of {size} services p99 {p99:.1f} ms, not {limit:.0f}")
    return missed


def _run(what: str, home: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, what, str(home)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _store(home: Path) -> FeatureStore:
    """Return the benchmark's store; nothing is read."""
    config = load_config()
    shutil.copy(CONF_DIR.parent / config.store["feast"], home)
    paths = {"feast": str(home / Path(config.store["feast"]).name), "offline": str(home / "off")}
    nodes = {name: config.features.groups[name] for name in GROUPS}
    nodes["lags"] = {**nodes["lags"], "cpu_lags": 18}  # which makes 150 features
    metrics = make_panel(2).metrics
    schema = StoreSchema(nodes, metrics, pd.Timedelta("1h"))
    return FeatureStore(replace(build(config.store, "store"), **paths), "bench", schema)


def _make(store: FeatureStore, home: Path) -> dict[str, Any]:
    """Fill the store and write the same features and keys as plain files."""
    panel = make_panel(SERVICES)
    store_range(store.directory, panel, store.schema)
    store.register()
    store.materialize(pd.Timestamp(panel.timestamps[-1], tz="UTC"))
    service, step = (index.astype(np.int32) for index in np.nonzero(panel.present))
    pq.write_table(entity_rows(panel, service, step), home / "keys.parquet")
    views = [
        f"SELECT * FROM read_parquet('{view_pattern(store.directory, v)}', hive_partitioning=false)"
        for v in store.schema.views
    ]
    joined = " ".join(
        f"JOIN ({v}) v{i} USING ({SERVICE}, {TIMESTAMP})" for i, v in enumerate(views) if i
    )
    duckdb.sql(f"COPY (SELECT * FROM ({views[0]}) v0 {joined}) TO '{home / WIDE}' (FORMAT parquet)")
    return {"rows": len(service), "features": len(store.schema.specs), "steps": STEPS}


def _bare(store: FeatureStore, home: Path) -> Callable[[], object]:
    """Return the join alone: one file, one key, no ttl, no order, result as Arrow."""
    keys = pq.read_table(home / "keys.parquet")
    assert len(keys)
    query = f"""
        SELECT e.{ROW}, f.* FROM keys e ASOF LEFT JOIN read_parquet('{home / WIDE}') f
        ON e.{SERVICE} = f.{SERVICE} AND e.{TIMESTAMP} >= f.{TIMESTAMP}
    """
    connection = duckdb.connect()
    connection.register("keys", keys)
    return lambda: connection.sql(query).to_arrow_table()


def _fetch(store: FeatureStore, home: Path, fetch: Any) -> Callable[[], object]:
    """Return what training does: keys in, features in the order of the keys out."""
    keys = pq.read_table(home / "keys.parquet")
    shape = (len(store.schema.specs), len(keys))
    if fetch is fetch_with_feast:
        assert store.feast.list_feature_views()  # its import is not what is measured

    return lambda: fetch(store, keys, np.empty(shape, dtype=np.float32))


def _timed(call: Callable[[], object]) -> dict[str, float]:
    before, start = os.times(), time.perf_counter()
    result = call()
    wall, after = time.perf_counter() - start, os.times()
    assert result is None or isinstance(result, pa.Table)
    return {
        "wall": wall,
        "cpu": after.user - before.user + after.system - before.system,
        "peak_mib": peak_mib(),
    }


def _reads(store: FeatureStore) -> dict[str, Any]:
    """Return percentiles of the time of reads, after some that warm up."""
    panel = make_panel(SERVICES)
    now, reader = pd.Timestamp(panel.timestamps[-1], tz="UTC"), OnlineReader(store)
    rng, figures = np.random.default_rng(7), {}
    for size in LIMIT_MS:
        picks = [rng.choice(SERVICES, size, replace=False) for _ in range(READS + 20)]
        names = [[panel.services[i] for i in pick] for pick in picks]
        for warm in names[:20]:
            reader.read(warm, now).require_fresh()
        gc.collect()
        gc.freeze()  # what a serving process does after its start: else p99 is the collector's
        spent = []
        for some in names[20:]:
            start = time.perf_counter()
            reader.read(some, now)
            spent.append(1e3 * (time.perf_counter() - start))
        gc.unfreeze()
        p50, p99 = np.percentile(spent, [50, 99])
        figures[str(size)] = {"p50": float(p50), "p99": float(p99)}
    return figures


def main() -> None:
    """Run one measurement in this process and print it as JSON."""
    what, home = sys.argv[1], Path(sys.argv[2])
    store = _store(home)
    if what == "make":
        print(json.dumps(_make(store, home)))
    elif what == "reads":
        print(json.dumps(_reads(store)))
    else:
        call = {
            "bare": lambda: _bare(store, home),
            "duckdb": lambda: _fetch(store, home, fetch_with_duckdb),
            "feast": lambda: _fetch(store, home, fetch_with_feast),
        }[what]()
        print(json.dumps(_timed(call)))


if __name__ == "__main__":
    main()
