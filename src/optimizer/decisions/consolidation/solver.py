"""Exact packing by constraint programming, within a bounded and repeatable effort."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimizer.decisions.consolidation.bounds import Fill, Pods

SEED = 0


def improve(pods: Pods, fill: Fill, lowest: int, effort: float) -> tuple[int, int]:
    """Return fewer nodes than a packing takes, where they can be found, and a lower bound.

    Nodes, and the best lower bound that was proven. ``effort``: deterministic seconds: a count of
    the solver's operations, the same on any machine.

    Notes
    -----
    Two-dimensional vector bin packing for OR-tools' CP-SAT: how many pods of each shape lie on
    each node, least nodes in use. Like pods are one number, nodes in use come first, and the
    nodes of the bound are always in use: that leaves few ways to say the same packing. One
    worker, a fixed seed and deterministic time give the same answer every time.
    """
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    in_use = [
        model.new_constant(1) if node < lowest else model.new_bool_var("")
        for node in range(fill.n_nodes)
    ]
    for node in range(lowest, fill.n_nodes - 1):
        model.add_implication(in_use[node + 1], in_use[node])
    start = _hint(pods, fill)
    most = np.minimum(pods.counts, _largest(pods))
    on = [
        [model.new_int_var(0, int(top), "") for _ in range(fill.n_nodes)] for top in most
    ]  # shape by node
    for row, count, put in zip(on, pods.counts, start, strict=True):
        model.add(cp_model.LinearExpr.sum(row) == int(count))
        for variable, value in zip(row, put, strict=True):
            model.add_hint(variable, int(value))
    for node, used in enumerate(in_use):
        column = [row[node] for row in on]
        for sizes, offered in zip(pods.sizes.T, pods.node, strict=True):
            load = cp_model.LinearExpr.weighted_sum(column, sizes.tolist())
            model.add(load <= int(offered) * used)
        if node >= lowest:
            model.add_hint(used, 1)
    model.minimize(cp_model.LinearExpr.sum(in_use))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = SEED
    solver.parameters.max_deterministic_time = effort
    status = solver.solve(model)
    if status not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
        return fill.n_nodes, lowest
    nodes = min(fill.n_nodes, round(solver.objective_value))
    proven = int(np.ceil(solver.best_objective_bound - 1e-6))
    return nodes, min(nodes, max(lowest, proven))


def _largest(pods: Pods) -> NDArray[np.int64]:
    """Return how many pods of each shape fit on an empty node."""
    room = np.where(pods.sizes > 0, pods.node // np.maximum(pods.sizes, 1), pods.counts.max())
    largest: NDArray[np.int64] = room.min(axis=1)
    return largest


def _hint(pods: Pods, fill: Fill) -> NDArray[np.int64]:
    """Return a packing as pods per shape and node, shape ``(n_shapes, n_nodes)``."""
    found = np.zeros((len(pods.sizes), fill.n_nodes), dtype=np.int64)
    for shape, nodes, counts in fill.placed:
        found[shape, nodes] = counts
    return found
