"""Small usage for tests of the policies: given by hand, or a seeded fleet with gaps."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from optimizer.core.config import build, list_choices, load_presets
from optimizer.decisions.policies.protocol import Policy
from optimizer.demand.usage import CPU, MEMORY, Usage

LEARNT = {"budget_optimal", "cost_optimal", "oom_optimal", "quantile"}
"""Policies that train a model: too slow for what is asked of all rules, with tests of their own."""


class Swept:
    """What a policy given by hand for a test shares with the rules: one sweep, no surface."""

    @property
    def sweeps(self) -> dict[str, Policy]:
        return {"": self}  # type: ignore[dict-item]

    def with_surface(self, surface: object) -> Policy:
        return self  # type: ignore[return-value]


def usage_from(
    values: object, capacity: object = 10.0, *, step: str = "1h", resource: str = CPU
) -> Usage:
    """Return usage of given values, shape ``(n_services, n_steps)`` or ``(n_steps,)``."""
    used = np.atleast_2d(np.asarray(values, dtype=np.float32))
    size = pd.Timedelta(step)
    clock = np.datetime64("2024-01-01", "us") + np.arange(1, used.shape[1] + 1) * np.timedelta64(
        size.value // 1000, "us"
    )
    return Usage(
        resource=resource,
        values=used,
        capacity=np.broadcast_to(np.asarray(capacity, dtype=np.float32), len(used)),
        timestamps=clock,
        step=size,
        services=tuple(f"svc-{i:03d}" for i in range(len(used))),
    )


def fleet(n_services: int = 6, days: int = 20, seed: int = 0, *, resource: str = CPU) -> Usage:
    """Return hourly bursty usage around a daily wave; gaps, a late service and a silent one."""
    rng = np.random.default_rng(seed)
    hours = np.arange(24 * days)
    level = rng.uniform(0.5, 4.0, (n_services, 1))
    noise = rng.standard_normal((n_services, len(hours)))
    values = level * np.exp(0.4 * np.sin(2 * np.pi * hours / 24) + 0.5 * noise)
    values[rng.random(values.shape) < 0.05] = np.nan
    values[1, : 12 * days] = np.nan
    values[2] = np.nan
    return usage_from(values, np.float32(4.0) * level[:, 0], resource=resource)


def at(*cutoffs: int) -> np.ndarray:
    """Return cutoffs as policies take them."""
    return np.asarray(cutoffs, dtype=np.int64)


def policy_names(resource: str = CPU) -> list[str]:
    """Return the choices of the group ``policy/<resource>``."""
    return list(list_choices(f"policy/{resource}"))


def policy_node(name: str, resource: str = CPU) -> dict[str, Any]:
    """Return what the yaml of a policy gives, resolved."""
    return deepcopy(_presets(resource)[name])


def policy_of(name: str, resource: str = CPU) -> Policy:
    """Return the policy of a yaml."""
    policy: Policy = build(policy_node(name, resource), f"policy.{resource}")
    return policy


def distinct_policies() -> dict[str, dict[str, Any]]:
    """Return the nodes of both resources' policies; memory's only where they differ from CPU's."""
    found = {name: policy_node(name) for name in policy_names()}
    for name in policy_names(MEMORY):
        node = policy_node(name, MEMORY)
        if node not in found.values():
            found[f"{name}, memory"] = node
    return found


@cache
def _presets(resource: str) -> dict[str, Any]:
    """Return the nodes of all policies of a resource, composed at once."""
    return load_presets(f"policy/{resource}", policy_names(resource))
