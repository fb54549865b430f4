"""How many nodes of a type hold the requests of a fleet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.core.validation import require_between, require_count
from optimizer.decisions.consolidation.bounds import first_fit, lower_bound, offer, pods_of
from optimizer.decisions.consolidation.solver import improve
from optimizer.decisions.pricing.catalogue import Instance


@dataclass(frozen=True)
class PackingRules:
    """How nodes are filled.

    Raises ConfigError: a value is out of its range.

    - ``reserve``: share of a node's cores and memory for its system, kubelet and daemons, in [0,
      1).
    - ``max_pods``: most pods on a node, at least 1; 110 is the kubelet's default.
    - ``effort``: deterministic seconds the solver may take, at least 0; 0 leaves it out. One is
      about 1.5 seconds of a CPU.
    - ``max_variables``: shapes of pods times nodes beyond which the solver is left out, at least 0.
    """

    reserve: float = 0.06
    max_pods: int = 110
    effort: float = 2.0
    max_variables: int = 30_000

    def __post_init__(self) -> None:
        require_between("packing.reserve", self.reserve, 0.0, 1.0, fix=0.06, open_high=True)
        require_count("packing.max_pods", self.max_pods, 1, fix=110)
        require_between("packing.effort", self.effort, 0.0, fix=2.0)
        require_count("packing.max_variables", self.max_variables, 0, fix=30_000)


DEFAULT_RULES = PackingRules()


@dataclass(frozen=True)
class Packing:
    """Nodes that hold a fleet.

    ``lower_bound``: a number below which none does. ``proven``: whether the two are the same: no
    packing takes fewer nodes.
    """

    nodes: int
    lower_bound: int
    proven: bool
    pods: int


def pack_nodes(
    cores: NDArray[np.floating],
    memory_gib: NDArray[np.floating],
    node: Instance,
    rules: PackingRules = DEFAULT_RULES,
    replicas: NDArray[np.integer] | None = None,
) -> Packing:
    """Return how many nodes of a type hold the services' requests.

    With the lower bound that was proven. Raises ConfigError: the reserve leaves nothing of the
    node; DataQualityError: a request is unknown or negative.

    - ``cores``, ``memory_gib``: shape ``(n_services,)``: total requests, at least 0.
    - ``rules``: reserve, most pods on a node and effort.
    - ``replicas``: integer, shape ``(n_services,)``: equal pods of each service; one by default.

    Notes
    -----
    Vector bin packing: neither cores, memory nor pods of a node may be exceeded. A service of
    which a pod is larger than a node is split into the least number of equal pods that fit. The
    answer is the best first-fit-decreasing packing; where that takes more nodes than the lower
    bound and the fleet is small enough, CP-SAT starts from it and looks for fewer. Pods of all
    services may share any node: pack clusters one by one. Spread over zones and affinity rules
    take more nodes than this.
    """
    pods = pods_of(cores, memory_gib, offer(node, rules.reserve, rules.max_pods), replicas)
    fill, lowest = first_fit(pods), lower_bound(pods)
    nodes, variables = fill.n_nodes, len(pods.sizes) * fill.n_nodes
    if nodes > lowest and rules.effort > 0.0 and variables <= rules.max_variables:
        nodes, lowest = improve(pods, fill, lowest, rules.effort)
    return Packing(nodes, lowest, nodes == lowest, int(pods.counts.sum()))
