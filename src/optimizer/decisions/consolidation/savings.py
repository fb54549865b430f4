"""What smaller requests free, and what is really saved once nodes are removed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.core.errors import ConfigError
from optimizer.decisions.consolidation.bounds import Pods, first_fit, offer, pods_of
from optimizer.decisions.consolidation.packing import (
    DEFAULT_RULES,
    Packing,
    PackingRules,
    pack_nodes,
)
from optimizer.decisions.pricing.catalogue import (
    HOURS_PER_MONTH,
    Instance,
    PriceCatalogue,
    monthly_cost,
)
from optimizer.demand.usage import CPU, MEMORY


@dataclass(frozen=True)
class Requests:
    """What the services of a fleet request.

    ``cores``, ``memory_gib``: shape ``(n_services,)``: total of each service; NaN if unknown.
    ``replicas``: integer, shape ``(n_services,)``: equal pods of each service; one by default.
    """

    cores: NDArray[np.floating]
    memory_gib: NDArray[np.floating]
    replicas: NDArray[np.integer] | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which services have both requests, shape ``(n_services,)``."""
        known: NDArray[np.bool_] = ~(np.isnan(self.cores) | np.isnan(self.memory_gib))
        return known

    def only(self, chosen: NDArray[np.bool_]) -> Requests:
        """Return the requests of chosen services."""
        replicas = None if self.replicas is None else self.replicas[chosen]
        return Requests(self.cores[chosen], self.memory_gib[chosen], replicas)


@dataclass(frozen=True)
class PackedSaving:
    """A saving split into what requests free and what nodes save.

    - ``before``, ``after``: nodes of the present and of the recommended requests.
    - ``freed``: monthly cost of the requests less that of the recommended ones, at the prices of a
      core and a GiB; room for others, but no money until nodes go.
    - ``realised``: monthly cost of the nodes that can be removed; negative where nodes must be
      added.
    - ``realised_low``, ``realised_high``: the saving between the bounds: equal to it where both
      packings are proven.
    - ``left_out``: services left out of all figures because a request of theirs is unknown.
    """

    instance: Instance
    before: Packing
    after: Packing
    freed: float
    realised: float
    realised_low: float
    realised_high: float
    left_out: int


def cheapest_instance(
    requests: Requests, catalogue: PriceCatalogue, rules: PackingRules = DEFAULT_RULES
) -> Instance:
    """Return the instance of a catalogue on which a fleet costs least, by first fit.

    The first listed of equally cheap ones. ``requests``: requests of the fleet, all known.
    ``catalogue``: with at least one instance. ``rules``: reserve and most pods on a node. Raises
    ConfigError: the catalogue lists no instance.
    """
    if not catalogue.instances:
        raise ConfigError(
            "prices.instances",
            seen=f"none in {catalogue.name}",
            allowed="at least one instance to pack nodes of",
            fix="add {name: m6i.large, cores: 2, memory_gib: 8, hour: 0.096}",
        )

    def hourly(node: Instance) -> float:
        nodes = first_fit(_pods(requests, node, rules)).n_nodes
        return round(nodes * node.hour, 6)

    return min(catalogue.instances, key=hourly)


def packed_saving(
    before: Requests,
    after: Requests,
    catalogue: PriceCatalogue,
    instance: str | None = None,
    rules: PackingRules = DEFAULT_RULES,
) -> PackedSaving:
    """Return what a change of requests frees and what it saves once nodes are removed.

    Per month of 730 hours, in the catalogue's currency. Raises ConfigError: the instance is not
    listed, or the two are not of the same services.

    - ``before``, ``after``: present and recommended requests of the same services.
    - ``catalogue``: prices of a core, a GiB and instances.
    - ``instance``: type of the nodes, before and after; by default the cheapest for the present
      requests.
    - ``rules``: reserve, most pods on a node and effort.

    Notes
    -----
    Both sides are packed anew, so that the saving owes nothing to how well the present nodes
    happen to be filled. Pack clusters one by one: they share no nodes. What is realised can also
    exceed what is freed: a node costs its reserve too, and its mix of cores and memory may be
    dearer than the two alone.
    """
    if len(before.cores) != len(after.cores):
        raise ConfigError(
            "requests",
            seen=f"{len(before.cores)} services before and {len(after.cores)} after",
            allowed="the same services",
            fix="give one request per service on both sides",
        )
    known = before.known & after.known
    old, new = before.only(known), after.only(known)
    if instance is None:
        node = cheapest_instance(old, catalogue, rules)
    else:
        node = catalogue.instance(instance)
    first, last = (
        pack_nodes(each.cores, each.memory_gib, node, rules, each.replicas) for each in (old, new)
    )
    month = node.hour * HOURS_PER_MONTH
    return PackedSaving(
        instance=node,
        before=first,
        after=last,
        freed=_cost(old, catalogue) - _cost(new, catalogue),
        realised=(first.nodes - last.nodes) * month,
        realised_low=(first.lower_bound - last.nodes) * month,
        realised_high=(first.nodes - last.lower_bound) * month,
        left_out=int(np.sum(~known)),
    )


def _pods(requests: Requests, node: Instance, rules: PackingRules) -> Pods:
    """Return the pods of requests for a type of node."""
    offered = offer(node, rules.reserve, rules.max_pods)
    return pods_of(requests.cores, requests.memory_gib, offered, requests.replicas)


def _cost(requests: Requests, catalogue: PriceCatalogue) -> float:
    """Return what all requests cost a month."""
    cpu = monthly_cost(requests.cores, catalogue, CPU).sum()
    return float(cpu + monthly_cost(requests.memory_gib, catalogue, MEMORY).sum())
