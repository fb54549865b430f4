"""The whole backtest on tiny data, in one Prefect server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from stores import places

from optimizer.core.config import list_choices
from optimizer.core.errors import ConfigError, InsufficientHistoryError

TINY = ["data.n_services=8", "data.n_clusters=2", "data.days=24", "replay.period=7d"]
POLICIES = set(list_choices("policy/cpu"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield tmp_path_factory.mktemp("backtest")


def run(home: Path, name: str, *overrides: str) -> dict[str, Any]:
    from flows.backtest import backtest_flow

    (home / name).mkdir()
    return backtest_flow([*TINY, *places(home), *overrides], str(home / name))


@pytest.fixture(scope="module")
def cpu(home: Path) -> dict[str, Any]:
    return run(home, "cpu")


def test_every_policy_knob_and_service_has_a_request_at_every_cutoff(
    home: Path, cpu: dict[str, Any]
) -> None:
    frame = pd.read_parquet(home / "cpu" / "requests.parquet")
    assert list(frame.columns) == [
        "policy", "knob", "service_id", "cutoff", "valid_until", "resource", "target",
        "lower_bound", "upper_bound", "risk",
    ]  # fmt: skip
    assert set(frame["policy"]) == POLICIES
    assert cpu["cutoffs"] == 28
    counts = frame.groupby(["policy", "knob"], observed=True).size()
    assert (counts == 28 * 8).all()
    assert frame["target"].min() >= np.float32(0.01)
    assert frame["target"].notna().all()
    assert ((frame["valid_until"] - frame["cutoff"]) == pd.Timedelta("6h")).all()
    assert (frame["cutoff"].dt.hour % 6 == 0).all()


def test_static_costs_what_is_requested_today_and_the_oracle_never_fails(
    cpu: dict[str, Any],
) -> None:
    figures = {row["policy"]: row for row in cpu["figures"]}
    assert figures["static"]["cost_vs_static"] == pytest.approx(1.0)
    assert figures["peak_oracle"]["cost_vs_oracle"] == pytest.approx(1.0)
    assert figures["peak_oracle"]["violation_rate"] == 0.0
    for row in cpu["figures"]:
        assert row["cost_vs_oracle"] >= 1.0 or row["violation_rate"] > 0.0


def test_frontier_costs_fall_as_more_steps_may_be_violated(home: Path, cpu: dict[str, Any]) -> None:
    table = pd.read_csv(home / "cpu" / "frontier.csv")
    assert set(table["policy"]) == POLICIES - {"peak_oracle", "static"}
    for _, rows in table[~table["unmet_capped"]].groupby("policy"):
        costs = rows.sort_values("limit")["cost"].dropna()
        assert costs.is_monotonic_decreasing
    assert table.loc[table["cost"].isna(), "reason"].notna().all()


def test_policies_are_compared_over_the_fleet_and_by_group(home: Path, cpu: dict[str, Any]) -> None:
    table = pd.read_csv(home / "cpu" / "comparison.csv")
    sizes = table.groupby("group")["services"].first()
    assert sizes["all"] == 8
    assert set(sizes.index) <= {"all", *pd.read_csv(home / "cpu" / "groups.csv")["group"]}
    assert len(sizes) > 1
    assert (table.groupby("group").size() == table.groupby("group").size()["all"]).all()


def test_backtest_writes_tables_plots_and_a_run(home: Path, cpu: dict[str, Any]) -> None:
    from mlflow import MlflowClient

    assert {path.name for path in (home / "cpu").iterdir()} >= {
        "requests.parquet", "frontier.csv", "comparison.csv", "services.csv", "groups.csv",
        "promises.csv", "bounds.csv", "backtest.json", "plots",
    }  # fmt: skip
    plots = {path.stem for path in (home / "cpu" / "plots").iterdir()}
    assert plots == {"frontier", "requests", "promises"}
    told = json.loads((home / "cpu" / "backtest.json").read_text())
    run_ = MlflowClient(f"sqlite:///{home}/mlflow.db").get_run(told["run_id"])
    assert run_.info.status == "FINISHED"
    assert run_.data.metrics["static.cost_vs_static"] == pytest.approx(1.0)


def test_memory_counts_kills_and_uses_the_policies_made_for_it(home: Path) -> None:
    found = run(
        home, "memory", "backtest.resource=memory", "backtest.policies=[vpa,krr,peak_oracle,static]"
    )
    figures = {row["policy"]: row for row in found["figures"]}
    assert set(figures) == {"vpa", "krr", "peak_oracle", "static"}
    assert figures["peak_oracle"]["kills_per_service_week"] == 0.0
    assert all("gib_hours" in row for row in found["figures"])


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["backtest.resource=disk"], r"backtest\.resource: got 'disk'"),
        (["backtest.policies=[vpa,static,peak_oracle,guess]"], "guess"),
        (["backtest.policies=[vpa]"], "add peak_oracle, static"),
        (["bounds.headroom=0.5"], r"bounds\.headroom: got 0\.5"),
    ],
)
def test_bad_settings_are_told_before_any_data_is_read(
    home: Path, overrides: list[str], told: str
) -> None:
    from flows.backtest import backtest_flow

    with pytest.raises(ConfigError, match=told):
        backtest_flow([*TINY, *places(home), *overrides], str(home))


def test_history_too_short_for_a_single_cutoff_is_told(home: Path) -> None:
    with pytest.raises(InsufficientHistoryError, match="telemetry: got 24d"):
        run(home, "short", "replay.least_history=30d")


def test_surfaces_are_refitted_as_the_configuration_says() -> None:
    from flows.backtest import prepare

    from optimizer.core.config import load_config

    config = load_config(["surface.cpu.refit=2d"])
    parts, policies = prepare(config)
    learned = {name: policy for name, policy in policies.items() if policy.learns}
    assert set(learned) == {"budget_optimal", "cost_optimal", "quantile"}
    for policy in learned.values():
        assert policy._surface is parts.surfaces["cpu"]  # type: ignore[attr-defined]
        assert policy._surface.refit == "2d"  # type: ignore[attr-defined]
