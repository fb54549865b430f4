"""The worked examples of docs/examples, used as a user would: outside of the package, no fork."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prefect.testing.utilities import prefect_test_harness

from optimizer.core.config import build, list_choices, load_config
from optimizer.core.errors import ConfigError
from optimizer.decisions.services.components import build_decisions
from optimizer.delivery.patches.writer import Patches
from optimizer.training.experiment import build_components

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs/examples"
TINY = ["data.n_services=6", "data.days=40", "threads=1", "data.n_clusters=2"]


@pytest.fixture(scope="module", autouse=True)
def _server() -> Any:
    with prefect_test_harness():
        yield


@pytest.fixture
def extend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what copies an example into a directory of the user's own and names that."""

    def copy(kind: str) -> Path:
        home = tmp_path / "mine"
        shutil.copytree(EXAMPLES / kind, home, dirs_exist_ok=True)
        monkeypatch.setenv("OPTIMIZER_EXTENSIONS", str(home))
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.chdir(tmp_path)
        return home

    return copy


def places(home: Path) -> list[str]:
    return [
        f"cache.dir={home / 'cache'}",
        f"tracking.uri=sqlite:///{home / 'mlflow.db'}",
        f"store.offline={home / 'offline'}",
        f"store.feast={home / 'feature_repo/feature_store.yaml'}",
    ]


def test_a_model_trains_and_is_registered(extend: Any, tmp_path: Path) -> None:
    from flows.train import train_flow

    extend("model")
    given = [*TINY, *places(tmp_path), "model=nearest_hours", "features=minimal"]
    record = train_flow(given, str(tmp_path / "out"))
    assert record["model"]["name"] == "nearest_hours"
    assert 0.0 < record["model"]["average_precision"] < 1.0
    assert record["registry"]["version"] == "1"


def test_an_exceedance_model_trains_and_comes_back_from_the_registry(
    extend: Any, tmp_path: Path
) -> None:
    from flows.train import train_flow

    from optimizer.training.tracking.mlflow_run import track_run
    from optimizer.training.tracking.registry import find_challenger, load_trained

    extend("exceedance_model")
    chosen = "model/exceedance@surface.cpu.model=boosted_share"
    given = [*TINY, *places(tmp_path), "target=exceedance", chosen, "surface.cpu.model.rounds=30"]
    record = train_flow(given, str(tmp_path / "out"))
    assert record["model"]["log_loss"] < 0.6
    with track_run(
        f"sqlite:///{tmp_path / 'mlflow.db'}", "cloud-workload-optimizer", "look"
    ) as run:
        version = find_challenger(run, "exceedance-synthetic")
        assert version is not None
        loaded: Any = load_trained(version)
    assert type(loaded.model.model).__name__ == "BoostedShare"
    assert loaded.model.model.rounds == 30


@pytest.mark.parametrize(
    ("kind", "name"),
    [("policy", "last_week"), ("wrapper_policy", "vpa_in_business_hours")],
)
def test_a_policy_is_replayed_beside_the_others(
    extend: Any, tmp_path: Path, kind: str, name: str
) -> None:
    from flows.backtest import backtest_flow

    extend(kind)
    assert name in list_choices("policy/cpu")
    wanted = f"backtest.policies=[{name},vpa,static,peak_oracle]"
    record = backtest_flow(
        [*TINY, *places(tmp_path), wanted, "surface.cpu.model.rounds=5"], str(tmp_path / "out")
    )
    figures = {row["policy"]: row for row in record["figures"]}
    assert figures[name]["cost_vs_oracle"] > 1.0
    if name == "vpa_in_business_hours":  # what is lowered less often costs more, and changes less
        assert figures[name]["cost_vs_oracle"] >= figures["vpa"]["cost_vs_oracle"]
        changes = "changes_per_service_day"
        assert figures[name][changes] <= figures["vpa"][changes]


def test_a_patch_format_is_written(extend: Any, tmp_path: Path) -> None:
    import yaml

    extend("patch_format")
    config = load_config(["+patches/format@patches.formats.helm=helm_values"])
    patches: Patches = build(config.patches, "patches", Patches)
    frame = pd.DataFrame(
        {
            "service_id": ["web-1"], "cluster_id": ["a"], "resource": ["cpu"], "unit": ["cores"],
            "action": ["scale_down"], "risk": [1.0], "reason": ["less is needed."],
            "current": [4.0], "target": [1.5], "lower_bound": [1.0], "upper_bound": [2.0],
        }
    )  # fmt: skip
    paths = patches.write(frame, tmp_path / "patches")
    written = tmp_path / "patches/helm/values-rightsizing.yaml"
    assert written in paths
    values = yaml.safe_load(written.read_text())
    assert values == {"resources": {"web-1": {"requests": {"cpu": "1500m"}}}}


def test_a_source_feeds_the_same_pipeline(extend: Any, tmp_path: Path) -> None:
    extend("source")
    times = pd.date_range("2025-01-01", periods=48, freq="1h", tz="UTC")
    rows = [
        {"id": f"s{number}", "time": time.isoformat(), "cpu": 0.1 * number}
        for number in (1, 2)
        for time in times
    ]
    path = tmp_path / "fleet.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = build_components(load_config(["data=json_lines", f"data.path={path}"])).source
    frame = source.fetch()
    assert len(frame) == 96
    assert frame["cpu_utilization"].unique().tolist() == [np.float32(0.1), np.float32(0.2)]
    later = source.fetch(start=times[24])
    assert later["event_timestamp"].min() == times[24]
    before = source.snapshot_id()
    path.write_text(path.read_text() + json.dumps(rows[0]) + "\n")
    assert source.snapshot_id() != before


def test_a_class_that_lacks_a_method_is_named(extend: Any) -> None:
    home = extend("policy")
    (home / "last_week.py").write_text(
        "class LastWeek:\n    def __init__(self, margin, interval): ...\n"
    )
    sys.modules.pop("last_week", None)
    config = load_config(["policy/cpu=last_week"])
    with pytest.raises(ConfigError, match=r"policy\.cpu\._target_: got LastWeek without .*request"):
        build_decisions(config)
    sys.modules.pop("last_week", None)


def test_two_yamls_of_one_name_are_refused(extend: Any) -> None:
    home = extend("policy")
    shutil.copyfile(home / "conf/policy/cpu/last_week.yaml", home / "conf/policy/cpu/vpa.yaml")
    with pytest.raises(ConfigError, match=r"policy/cpu=vpa: got two yamls of this name"):
        load_config()


def test_an_extension_without_yamls_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTIMIZER_EXTENSIONS", str(tmp_path))
    with pytest.raises(ConfigError, match=r"OPTIMIZER_EXTENSIONS: got .* no directory conf"):
        load_config()
