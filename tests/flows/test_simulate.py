"""The whole simulation on tiny data, in one Prefect server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flows.simulate import prepare
from stores import places
from usages import fleet, policy_of

from optimizer.core.artifacts import digest
from optimizer.core.config import build, load_config
from optimizer.core.errors import ConfigError
from optimizer.core.panel import Panel
from optimizer.decisions.services.components import policy_nodes
from optimizer.decisions.simulation.closed_loop import SimulationResult
from optimizer.decisions.simulation.serving import HorizontalAutoscaler
from optimizer.decisions.simulation.settings import SimulationSettings, shown_rounds, summarise

TINY = [
    "data.n_services=6", "data.n_clusters=2", "data.days=16", "simulate.window=7d",
    "simulate.rounds=3", "surface.cpu.model.rounds=5",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield tmp_path_factory.mktemp("simulate")


def run(home: Path, name: str, *overrides: str) -> dict[str, Any]:
    from flows.simulate import simulate_flow

    (home / name).mkdir()
    return simulate_flow([*TINY, *places(home), *overrides], str(home / name))


@pytest.fixture(scope="module")
def cpu(home: Path) -> dict[str, Any]:
    chosen = ["simulate.policies=[krr,static,cost_optimal]", "simulate.autoscaler.most=1"]
    return run(home, "cpu", *chosen)


def rows_of(record: dict[str, Any]) -> dict[tuple[str, bool], dict[str, Any]]:
    return {(row["policy"], row["treated"]): row for row in record["figures"]}


def test_every_policy_is_simulated_treated_and_untreated(home: Path, cpu: dict[str, Any]) -> None:
    table = pd.read_csv(home / "cpu" / "simulation.csv")
    counts = table.groupby(["policy", "treated"], sort=False).size()
    names = ("krr", "static", "cost_optimal")
    assert list(counts.index) == [(name, one) for name in names for one in (True, False)]
    assert (counts == 3).all()
    rows = rows_of(cpu)
    for (policy, treated), row in rows.items():
        # Nothing was clipped before the first round: nothing to treat.
        assert row["request_1"] == rows[policy, not treated]["request_1"]
    assert rows["krr", True]["request_3"] > rows["krr", False]["request_3"]


def test_what_is_requested_today_settles_at_once(cpu: dict[str, Any]) -> None:
    for treated in (True, False):
        row = rows_of(cpu)["static", treated]
        assert row["change"] == row["change_since_first"] == 0.0
        assert row["settled_from"] == 2
        assert row["settles"]


def test_simulation_writes_a_table_a_picture_and_a_run(home: Path, cpu: dict[str, Any]) -> None:
    from mlflow import MlflowClient

    assert (home / "cpu" / "plots" / "simulation.png").stat().st_size > 10_000
    told = json.loads((home / "cpu" / "simulation.json").read_text())
    assert told["figures"] == cpu["figures"]
    done = MlflowClient(f"sqlite:///{home}/mlflow.db").get_run(told["run_id"])
    assert done.info.status == "FINISHED"
    assert done.data.metrics["static.untreated.change"] == 0.0
    assert done.data.metrics["krr.treated.request_3"] == rows_of(cpu)["krr", True]["request_3"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["simulate.rounds=1"], r"simulate\.rounds: got 1"),
        (["interval=soon"], r"interval: got 'soon'"),
        (["simulate.window=1h"], r"simulate\.window: got '1h'"),
        (["simulate.step=0"], r"simulate\.step: got 0"),
        (["simulate.capacity=guess"], r"simulate\.capacity: got 'guess'"),
        (["surface.cpu.refit=never"], r"surface\.cpu\.refit: got 'never'"),
        (["simulate.carried=2"], r"simulate\.carried: got 2"),
        (["simulate.carried=1", "simulate.resource=memory"], r"simulate\.carried: got 1"),
        (["simulate.autoscaler.target=2"], r"simulate\.autoscaler\.target: got 2"),
        (["simulate.censoring.near=0"], r"simulate\.censoring\.near: got 0"),
        (["surface.cpu.model.rounds=0"], r"surface\.cpu\.model\.rounds: got 0"),
        (
            ["+simulate.autoscaler.nonsense=1"],
            r"^simulate\.autoscaler\.nonsense: got an unknown key",
        ),
        (["simulate.policies=[vpa,guess]"], "correct guess"),
        (["simulate.policies=[peak_oracle]"], "correct peak_oracle"),
        (["simulate.policies=[]"], r"simulate\.policies: got none"),
        (["simulate.resource=disk"], r"simulate\.resource: got 'disk'"),
        (["backtest.resource=disk"], r"backtest\.resource: got 'disk'"),
    ],
)
def test_bad_settings_are_told_before_any_data_is_read(overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        prepare(load_config(overrides))


def test_override_of_the_chosen_policy_counts_and_memory_has_its_own() -> None:
    own = ["policy/cpu=vpa", "policy.cpu.margin=0.5", "simulate.policies=[krr,vpa]"]
    config = load_config(own)
    nodes = policy_nodes(config, "cpu", ["krr", "vpa"], "simulate.policies")
    assert list(nodes) == ["krr", "vpa"]
    assert nodes["vpa"]["margin"] == 0.5
    assert nodes["krr"]["sweep"] == "percentile"
    memory = policy_nodes(config, "memory", ["krr", "vpa"], "simulate.policies")
    assert memory["krr"]["sweep"] == "buffer"
    assert memory["vpa"]["margin"] == 0.15
    for resource, built in (("cpu", nodes), ("memory", memory)):
        _, policies = prepare(load_config([*own, f"simulate.resource={resource}"]))
        assert {name: digest(one) for name, one in policies.items()} == {
            name: digest(build(node, f"policy.{resource}")) for name, node in built.items()
        }


def test_memory_is_simulated_with_its_own_policy(home: Path) -> None:
    chosen = ["simulate.resource=memory", "simulate.policies=[krr]", "simulate.autoscaler.most=1"]
    for row in run(home, "memory", *chosen)["figures"]:
        # The maximum of the window and 15 %: no step of a window that comes again is above.
        assert row["violation_rate"] == 0.0
        assert row["request_1"] > 0.0


def panel_of(utilization: list[float], cores: list[float]) -> Panel:
    values = np.array([[utilization], [cores]], dtype=np.float32)
    clock = np.datetime64("2024-01-01", "us") + np.arange(1, len(cores) + 1) * np.timedelta64(
        1, "h"
    )
    return Panel(
        metrics=("cpu_utilization", "cpu_capacity_cores"),
        services=("a",),
        clusters=np.zeros((1, len(cores)), dtype=np.int32),
        timestamps=clock,
        step=pd.Timedelta("1h"),
        values=values,
        present=np.ones((1, len(cores)), dtype=bool),
        cluster_names=("c",),
    )


def test_requests_before_the_first_round_are_those_of_its_time() -> None:
    # Six steps; resized from 10 to 20 cores in the last two. Two rounds of an hour follow the
    # first four steps, which know of 10; where demand repeats the first round follows all six.
    panel = panel_of([0.5] * 6, [10.0] * 4 + [20.0] * 2)
    options = {"rounds": 2, "interval": "1h", "window": "2h"}
    assert SimulationSettings(repeat=False, **options).usage(panel).capacity.tolist() == [10.0]
    assert SimulationSettings(repeat=True, **options).usage(panel).capacity.tolist() == [20.0]


def test_autoscaler_and_treatment_reach_the_simulation() -> None:
    demand = fleet(6, 14)
    shown = {"rounds": 3, "window": "7d"}
    fixed = SimulationSettings(**shown, autoscaler=HorizontalAutoscaler(most=1))
    vpa = policy_of("vpa")
    alone = fixed.simulate(demand, vpa, treated=False).rounds
    scaled = SimulationSettings(**shown).simulate(demand, vpa, treated=False).rounds
    treated = fixed.simulate(demand, vpa, treated=True).rounds
    assert alone["replicas"].iloc[0] == 1.0 < scaled["replicas"].iloc[0]
    assert scaled["violation_rate"].iloc[0] < alone["violation_rate"].iloc[0]
    assert treated["request"].iloc[0] == alone["request"].iloc[0]
    assert treated["request"].iloc[1] > alone["request"].iloc[1]


def result(*totals: float) -> SimulationResult:
    request = np.array(totals)
    table = pd.DataFrame(
        {
            "round": np.arange(1, len(totals) + 1),
            "request": request,
            "change": np.append(np.nan, request[1:] / request[:-1] - 1.0),
            "violation_rate": request / 1000.0,
            "unmet_share": request / 2000.0,
            "replicas": 1.0,
        }
    )
    return SimulationResult("cpu", table, np.zeros((len(totals), 1, 1), dtype=np.float32), ("a",))


def test_figures_told_first_by_hand() -> None:
    # Twelve rounds: 100, then 80 for good; the change in round 10 is 0, -20 % in all.
    found = summarise(result(100.0, *[80.0] * 11))
    assert {key: found[key] for key in found if key.startswith("request")} == {
        "request_1": 100.0, "request_5": 80.0, "request_10": 80.0, "request_12": 80.0,
    }  # fmt: skip
    assert found["change"] == 0.0
    assert found["change_since_first"] == pytest.approx(-0.2)
    assert (found["judged_round"], found["settled_from"], found["settles"]) == (10, 3, True)
    assert found["violation_rate"] == pytest.approx(0.08)
    assert found["clipped"] == ["a"]


def test_small_change_in_round_ten_is_no_settling_if_a_large_one_follows() -> None:
    late = summarise(result(*[100.0] * 10, 90.0, 90.0))
    assert late["change"] == 0.0
    assert (late["settled_from"], late["settles"]) == (12, False)
    last = summarise(result(100.0, 100.0, 98.0))
    assert (last["judged_round"], last["settled_from"], last["settles"]) == (3, None, False)


def test_rounds_that_are_told() -> None:
    assert shown_rounds(12) == (1, 5, 10, 12)
    assert shown_rounds(10) == (1, 5, 10)
    assert shown_rounds(3) == (1, 3)


def test_surface_of_the_simulation_keeps_what_the_resource_learns() -> None:
    chosen = {"cpu": "cost_optimal", "memory": "oom_optimal"}
    for resource, policy in chosen.items():
        key = f"surface.{resource}"
        own = build(load_config().surface[resource], key)
        changed = [f"{key}.refit=28d", f"{key}.model.rounds=5", f"simulate.policies=[{policy},vpa]"]
        _, policies = prepare(load_config([*changed, f"simulate.resource={resource}"]))
        found = policies[policy]._surface  # type: ignore[attr-defined]
        assert found.refit == "28d"
        assert found == replace(own, refit="28d", model=found.model)
        assert digest(found.model) == digest(build({**NODES[resource], "rounds": 5}, "model"))
        assert digest(policies["vpa"]) == digest(policy_of("vpa"))
    vpa = policy_of("vpa")
    assert vpa.with_surface(own) is vpa


NODES = {resource: node["model"] for resource, node in load_config().surface.items()}
