"""The structured schema that every configuration is checked against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Cache:
    """Where validated data, features and task results are kept."""

    dir: str = ".cache/optimizer"


@dataclass
class Tracking:
    """Which MLflow store and experiment a run is logged to."""

    uri: str = "sqlite:///mlflow.db"
    experiment: str = "cloud-workload-optimizer"
    parent: str | None = None  # run of the sweep that this run is part of


@dataclass
class Registry:
    """Name of the registered model, None for ``<target>-<data name>``; whether to register one."""

    name: str | None = None
    register: bool = True


@dataclass
class Runner:
    """The engine that fits, trials and feature partitions fan out on."""

    kind: str = "local"  # local, threads or dask
    workers: int | None = None
    address: str | None = None


@dataclass
class Backtest:
    """Which resource and which policies are replayed, all if absent; what groups services."""

    resource: str = "cpu"
    policies: list[str] | None = None
    group: str | None = None


@dataclass
class Trial:
    """Which trial of the search a job is; None for none."""

    number: int | None = None
    study: str | None = None


@dataclass
class Backfill:
    """Range of ``event_timestamp`` to store, start included, end excluded; all if absent."""

    start: str | None = None
    end: str | None = None


@dataclass
class FeatureChoice:
    """The feature groups chosen, by name."""

    groups: dict[str, Any] = field(default_factory=dict)


@dataclass
class ExperimentConfig:
    """The whole configuration: one node per component, and the scalars.

    - ``data``, ``quality``, ``target``, ``split``, ``model``, ``imbalance``, ``evaluation``,
      ``store``: ``_target_`` and constructor arguments of one component each.
    - ``seed``: seeds every random choice.
    - ``threads``: threads of the learning libraries; None for as many as the process may use.
    - ``now``: moment that ages in the store are counted to; None for the clock.
    - ``search``: ``_target_`` and arguments of the search; empty without one.
    - ``interval``: how long a request holds: the distance of cutoffs wherever requests are made.
    - ``bounds``, ``conformal``: ``_target_`` and arguments of the limits of every request, and of
      what corrects promises.
    - ``surface``: ``_target_`` and arguments of the exceedance surface of each resource.
    - ``policy``: ``_target_`` and arguments of the right-sizing policy of each resource.
    - ``replay``: ``_target_`` and arguments of the replay of right-sizing policies.
    - ``prices``: ``_target_`` and arguments of the price catalogue; empty without one.
    - ``recommend``, ``patches``: ``_target_`` and arguments of what turns requests into
      recommendations and patches.
    - ``simulate``: ``_target_`` and arguments of what `flows/simulate.py` simulates.
    - ``presets``: further nodes that :func:`~optimizer.core.config.load_presets` composes.
    - ``choices``: which yaml each group was taken from; filled by :func:`load_config`.
    - ``overrides``: as the user gave them; filled by :func:`load_config`.
    """

    data: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    features: FeatureChoice = field(default_factory=FeatureChoice)
    target: dict[str, Any] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    imbalance: dict[str, Any] = field(default_factory=dict)
    baselines: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    store: dict[str, Any] = field(default_factory=dict)
    backfill: Backfill = field(default_factory=Backfill)
    search: dict[str, Any] = field(default_factory=dict)
    runner: Runner = field(default_factory=Runner)
    bounds: dict[str, Any] = field(default_factory=dict)
    surface: dict[str, dict[str, Any]] = field(default_factory=dict)
    conformal: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, dict[str, Any]] = field(default_factory=dict)
    replay: dict[str, Any] = field(default_factory=dict)
    prices: dict[str, Any] = field(default_factory=dict)
    recommend: dict[str, Any] = field(default_factory=dict)
    patches: dict[str, Any] = field(default_factory=dict)
    simulate: dict[str, Any] = field(default_factory=dict)
    presets: dict[str, Any] = field(default_factory=dict)
    backtest: Backtest = field(default_factory=Backtest)
    trial: Trial = field(default_factory=Trial)
    seed: int = 7
    threads: int | None = None
    interval: str = "6h"
    now: str | None = None
    cache: Cache = field(default_factory=Cache)
    tracking: Tracking = field(default_factory=Tracking)
    registry: Registry = field(default_factory=Registry)
    choices: dict[str, str] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the resolved configuration as plain values."""
        return asdict(self)

    def registered_name(self, data: str) -> str:
        """Return the name that models trained on the named data are registered under."""
        return self.registry.name or f"{self.choices['target']}-{data}"

    def flatten(self) -> dict[str, Any]:
        """Return every leaf by its dotted key, as used on the command line."""
        values = {key: one for key, one in self.to_dict().items() if key != "overrides"}
        return dict(leaves(values, ""))


def leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield every leaf of nested dicts with its dotted key."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, value
