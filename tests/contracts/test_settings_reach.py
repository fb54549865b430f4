"""Every key that a user may set reaches what is built from the configuration, or code reads it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from optimizer.core.artifacts import digest
from optimizer.core.config import CONF_DIR, build, check_composed
from optimizer.core.config_schema import ExperimentConfig, FeatureChoice
from optimizer.core.errors import OptimizerError
from optimizer.core.renamed import new_name
from optimizer.decisions.services import components
from optimizer.models.base import EventClassifier
from optimizer.training import experiment

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "flows").rglob("*.py")])
PLAIN = ("cache", "tracking", "registry", "runner", "backfill", "backtest", "trial")
"""Nodes that are no components: code reads their keys where it needs them."""
ASIDE = (*PLAIN, "now", "presets", "hydra")
FIXED = ("_target_", "_recursive_")
"""What only a choice sets."""
Keys = tuple[str, ...]


@dataclass(frozen=True)
class By:
    """Another value of a key, by its present one."""

    present: dict[Any, Any]


TOGETHER = {
    "split.train": {"split.train": 0.55, "split.valid": 0.2},
    "split.valid": {"split.valid": 0.2, "split.test": 0.2},
    "split.test": {"split.test": 0.2, "split.train": 0.65},
    "model.distributed": {"model.distributed": True, "runner.kind": "dask"},
}
"""Keys whose values depend on each other."""
OTHERS: dict[str, Any] = {
    "alarm_renewal": "2h",
    "capacity": "limit",
    "cases": By({None: {"model": {"lightgbm": {"model.num_leaves": "choice(8, 16)"}}}}),
    "cases.*": "choice(8, 16)",
    "clock": "end",
    "cluster": "subscription",
    "columns.*": "column",
    "container": "app",
    "country": "DE",
    "cpu_limit_ratio": 2.0,
    "cpu_unit": "",
    "currency": "EUR",
    "decimal": ",",
    "delimiter": ";",
    "device": "cpu",
    "encoding": "cp1252",
    "feast": str(ROOT / "feature_repo/feature_store.production.yaml"),
    "formats": By({None: {"vpa": {"_target_": "optimizer.delivery.patches.vpa.Vpa"}}}),
    "freq": By({None: "1h"}),
    "gap": "48h",
    "halflife": By({"24h": "12h", "12h": "24h", "72h": "24h"}),
    "headroom": 1.1,
    "imbalance": "choice(none, smote)",
    "instance": "m6i.large",
    "kind": "StatefulSet",
    "labels": "windows.json",
    "lead": By({"24h": "12h"}),
    "margin": By({1.0: 1.2, 0.0: 0.1}),
    "max_vms": 10,
    "memory_limit_ratio": 1.2,
    "memory_unit": "Gi",
    "merge": "max",
    "metric": "memory_utilization",
    "data.missing": [-1],
    "model": "choice(lightgbm, xgboost)",
    "n_jobs": 2,
    "name": By({None: "other"}),
    "objectives": ["quality", "seconds"],
    "outcome": By({"steps": "peak", "peak": "steps"}),
    "params.*": "choice(8, 16)",
    "policies": ["vpa", "krr"],
    "positive_weight": 3.0,
    "precision": "32-true",
    "project": "other",
    "quantiles": [0.1, 0.5, 0.9],
    "reading": "max",
    "recalibration": {"_target_": "optimizer.models.exceedance.recalibration.Recalibration"},
    "reference": "max 14d",
    "resource": By({"cpu": "memory", "memory": "cpu"}),
    "scale_out": "^web",
    "severities.*": By({"error": "warning", "warning": "error"}),
    "sizes": "replica",
    "skip_rows": 2,
    "source": "rule",
    "statistic": "peak",
    "study": "other",
    "sweep": By({"percentile": "buffer", "buffer": "percentile"}),
    "threads": 3,
    "time_format": "%d.%m.%Y",
    "timezone": "Europe/Berlin",
    "trial_timeout": "10min",
    "ttl": "3h",
    "units.cost": "cents",
    "units.cpu": "percent",
    "units.cpu_capacity": "millicores",
    "units.disk": "kb_per_s",
    "units.error_rate": "percent",
    "units.latency": "s",
    "units.memory": "percent",
    "units.memory_capacity": "mib",
    "units.network": "kb_per_s",
    "units.request_rate": "per_min",
    "unmet_price": 50.0,
    "value": "memory_utilization",
}
"""Another value of a key by its last name, by the last two, or (``.*``) by one that it is under."""


def another(keys: Keys, value: Any) -> Any:
    """Return another valid value of a key."""
    names = (".".join(keys[-2:]), keys[-1], *(f"{key}.*" for key in keys))
    for found in (OTHERS[name] for name in names if name in OTHERS):
        if not isinstance(found, By):
            return found
        present = None if isinstance(value, dict | list) else value
        if present in found.present:
            return found.present[present]
    return nearby(value)


def nearby(value: Any) -> Any:
    """Return a value of the same type that is near."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 0.9 or 0.1
    if isinstance(value, list) and value:
        number = isinstance(value[-1], int | float)
        return [*value[:-1], nearby(value[-1])] if number or len(value) == 1 else value[:-1]
    if isinstance(value, str) and re.fullmatch(r"\d+(ms|s|min|h|d)", value):
        return re.sub(r"\d+", lambda number: str(2 * int(number.group())), value)
    if isinstance(value, str):
        return "2025-02-03" if re.fullmatch(r"\d{4}-\d\d-\d\d", value) else f"{value}x"
    raise LookupError("no other value is known: add one to OTHERS")


def leaves(node: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Yield every value that is given by itself, with its keys; a key may hold dots."""
    if isinstance(node, dict) and node:
        for name, inner in node.items():
            yield from leaves(inner, (*keys, str(name)))
    elif keys[-1] not in FIXED and not (isinstance(node, str) and "${" in node):
        yield keys, node


class Composition:
    """A composition whose values can be changed, with all that is built from it.

    Parameters
    ----------
    overrides : sequence of str
        Choices.
    """

    def __init__(self, *overrides: str) -> None:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            self.composed = compose("config", list(overrides), return_hydra_config=True)
        self.base = check_composed(self.composed, self.composed.hydra.runtime.choices, ())
        plain = OmegaConf.to_container(self.composed)
        assert isinstance(plain, dict)
        self.plain = {str(key): node for key, node in plain.items() if key not in ASIDE}
        self.linked = {key for key, node in self.plain.items() if "${" in json.dumps(node)}

    def built(self, config: ExperimentConfig) -> str:
        """Return a digest of all that is built from a configuration."""
        parts = experiment.build_components(config), components.build_decisions(config)
        patches = kept_build(config.patches, "patches")
        search = kept_build(config.search, "search") if config.search else None
        return digest(*parts, patches, search)

    def changed(self, values: dict[Keys, Any]) -> ExperimentConfig:
        """Return the configuration with other values, resolved anew; the composition is kept."""
        places = []
        for keys, value in values.items():
            node, plain = self.composed, self.plain
            for key in keys[:-1]:
                node, plain = node[key], plain.get(key, {})
            places.append((node, keys[-1], plain.get(keys[-1], node[keys[-1]])))
            node[keys[-1]] = value
        names = self.linked | {keys[0] for keys in values} - {*ASIDE}
        nodes = {name: plain_of(self.composed, name) for name in names}
        if ("runner", "kind") in values:
            nodes["runner"] = replace(self.base.runner, kind=values["runner", "kind"])
        for node, key, value in places:
            node[key] = value
        return replace(self.base, **nodes)

    def unreached(self, under: tuple[str, ...]) -> Iterator[str]:
        """Yield every key under some nodes whose other value changes nothing of what is built."""
        before = self.built(self.base)
        kept.clear()
        assert self.built(self.base) == before, "what is built has no digest of its own"
        asked = 0
        for keys, value in leaves(self.plain):
            name = ".".join(keys)
            if not any(f"{name}.".startswith(f"{one}.") for one in under or keys[:1]):
                continue
            asked += 1
            try:
                others = TOGETHER.get(name) or {name: another(keys, value)}
                places = {key: keys if key == name else tuple(key.split(".")) for key in others}
                values = {places[key]: other for key, other in others.items()}
                if self.built(self.changed(values)) == before:
                    yield f"{name}: reaches nothing"
            except (OptimizerError, LookupError) as error:
                yield f"{name}: {error}"
        assert asked
        assert self.built(self.changed({})) == before, "every key was set back"


def plain_of(composed: DictConfig, name: str) -> Any:
    """Return a node as the configuration holds it."""
    node = composed[name]
    if not OmegaConf.is_config(node):
        return node
    plain: Any = OmegaConf.to_container(node, resolve=True)
    if name == "features":
        return FeatureChoice(**plain)
    known = next(one for one in fields(ExperimentConfig) if one.name == name).default_factory
    return known(**plain) if is_dataclass(known) else plain  # type: ignore[operator,misc]


kept: dict[str, Any] = {}
"""Components that were built already, by their node: building hundreds anew takes minutes."""


def kept_build(node: dict[str, Any], key: str, protocol: type[Any] | None = None) -> Any:
    """Build a component, or return the one that was built from the same node."""
    name = json.dumps([node, key], sort_keys=True)
    if name not in kept:
        kept[name] = build(node, key, protocol)
    return kept[name]


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept.clear()
    for module in (experiment, components):
        monkeypatch.setattr(module, "build", kept_build)


@cache
def stems(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))


def is_event(model: str) -> bool:
    node = yaml.safe_load((CONF_DIR / "model" / f"{model}.yaml").read_text())
    return isinstance(build(node, "model"), EventClassifier)


MODELS = sorted(stems("model"), key=lambda model: (not is_event(model), model))
"""Those that classify events first: only they go with the strategies for imbalance."""
SIDE_BY_SIDE = {
    "policy/cpu": stems("policy/cpu"),
    "policy/memory": stems("policy/memory"),
    "model": MODELS,
    "imbalance": stems("imbalance"),
    "data": stems("data"),
    "prices": stems("prices"),
    "store": stems("store"),
    "patches": stems("patches"),
}
"""Groups whose choices do not depend on each other: a composition holds one of each."""


def sides(index: int) -> tuple[list[str], tuple[str, ...]]:
    """Return the choices of a composition and the nodes that they give."""
    chosen = {group: one[index] for group, one in SIDE_BY_SIDE.items() if index < len(one)}
    words = ["features=minimal", *(f"{group}={choice}" for group, choice in chosen.items())]
    if chosen.get("data", "synthetic") != "synthetic":
        words.append("data.path=somewhere")
    if "model" in chosen and not is_event(chosen["model"]):
        words.append("target=utilization")
    return words, tuple(group.replace("/", ".") for group in chosen)


def test_every_key_reaches_what_is_built() -> None:
    assert list(Composition("prices=aws").unreached(())) == []


@pytest.mark.parametrize("target", [one for one in stems("target") if one != "scale_event"])
def test_every_key_of_a_target_reaches_what_is_built(target: str) -> None:
    found = Composition("features=minimal", f"target={target}")
    assert list(found.unreached(("target", "baselines"))) == []


@pytest.mark.parametrize("index", range(max(map(len, SIDE_BY_SIDE.values()))))
def test_every_key_of_a_choice_reaches_what_is_built(index: int) -> None:
    words, under = sides(index)
    assert list(Composition(*words).unreached(under)) == []


@pytest.mark.parametrize("search", stems("search"))
def test_every_key_of_a_search_reaches_what_is_built(search: str) -> None:
    parts = []
    for part in ("sampler", "pruner"):
        every = stems(f"search/{part}")
        parts.append(f"search/{part}={every[stems('search').index(search) % len(every)]}")
    found = Composition("features=minimal", f"search={search}", *parts)
    assert list(found.unreached(("search",))) == []


def nodes_named(tree: ast.AST) -> dict[str, str]:
    """Return the local names of a function that stand for a plain node, with the node."""
    kinds = {name.capitalize(): name for name in PLAIN}
    found = {}
    for one in ast.walk(tree):
        if isinstance(one, ast.arg) and isinstance(one.annotation, ast.Name):
            found[one.arg] = kinds.get(one.annotation.id, "")
        elif isinstance(one, ast.Assign):
            for target in one.targets:
                pairs: list[tuple[Any, Any]] = [(target, one.value)]
                if isinstance(target, ast.Tuple) and isinstance(one.value, ast.Tuple):
                    pairs = list(zip(target.elts, one.value.elts, strict=True))
                for name, value in pairs:
                    if isinstance(name, ast.Name) and isinstance(value, ast.Attribute):
                        found[name.id] = value.attr
    return {name: node for name, node in found.items() if node in PLAIN}


def read_keys(tree: ast.AST) -> Iterator[str]:
    """Yield every key of a plain node that some code reads."""
    names = nodes_named(tree)
    for one in ast.walk(tree):
        if isinstance(one, ast.Attribute):
            owner = one.value
            if isinstance(owner, ast.Attribute) and owner.attr in PLAIN:
                yield f"{owner.attr}.{one.attr}"
            elif isinstance(owner, ast.Name) and owner.id in names:
                yield f"{names[owner.id]}.{one.attr}"
            elif isinstance(owner, ast.Name) and owner.id == "config":
                yield one.attr
        elif isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == "vars":
            # Handed on as a whole, which only the range of a back-fill is: tests/flows/
            # test_features.py gives both of its ends.
            (given,) = one.args
            if isinstance(given, ast.Attribute) and given.attr == "backfill":
                yield from ("backfill.start", "backfill.end")


def test_code_reads_every_key_that_is_no_component() -> None:
    read: set[str] = set()
    for path in SOURCES:
        for one in ast.walk(ast.parse(path.read_text())):
            if isinstance(one, ast.FunctionDef):
                read |= set(read_keys(one))
    schema = ExperimentConfig()
    keys = {f"{name}.{key}" for name in PLAIN for key in vars(getattr(schema, name))}
    assert sorted({*keys, "now"} - read) == []
    given = yaml.safe_load((CONF_DIR / "config.yaml").read_text())
    runner = yaml.safe_load((CONF_DIR / "runner/local.yaml").read_text())
    nodes = {**{name: given[name] for name in PLAIN if name in given}, "runner": runner}
    assert {f"{name}.{key}" for name, node in nodes.items() for key in node} == keys


def test_errors_name_keys_that_are_known_today() -> None:
    heads = {one.name for one in fields(ExperimentConfig)}
    stale = []
    for path in SOURCES:
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or path.name == "renamed.py":
                continue
            texts = [a.value for a in call.args if isinstance(a, ast.Constant)]
            for text in texts:
                if isinstance(text, str) and re.fullmatch(r"[a-z]+(\.\w+)+", text):
                    placed = text.startswith(("policy.", "model."))  # told where the node stands
                    if text.split(".")[0] in {*heads, "feedback"} and not placed and new_name(text):
                        stale.append(f"{path.name}: {text}")
    assert stale == []
