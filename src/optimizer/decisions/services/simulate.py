"""A simulation as a whole: rounds of every policy, the table, the picture, the plain record."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Any

from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.plotting import save_figure
from optimizer.decisions.backtesting.tables import ORACLE
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.services.components import Decisions, build_policies, policy_nodes
from optimizer.decisions.simulation.closed_loop import SimulationResult
from optimizer.decisions.simulation.plots import plot_simulation
from optimizer.decisions.simulation.settings import BESIDE, summarise, tabulate_rounds

WORDS = {True: "treated", False: "untreated"}
"""Whether steps at the limit are treated before a policy sees them."""
Simulated = dict[str, dict[bool, SimulationResult]]
"""Results by policy and whether clipped usage was treated."""


def build_simulated(config: ExperimentConfig, parts: Decisions) -> dict[str, Policy]:
    """Return every policy to simulate by name, asking the surface of the simulated resource.

    Raises ConfigError: a policy is unknown or looks ahead, or none is given.
    """
    resource, names = parts.simulate.resource, parts.simulate.policies
    if names is None:
        names = [config.choices[f"policy/{resource}"], *BESIDE]
    nodes = policy_nodes(config, resource, names, "simulate.policies", refused=(ORACLE,))
    return build_policies(nodes, parts.surfaces[resource], resource)


def write_simulation(found: Simulated, output: Path) -> dict[str, Any]:
    """Write all rounds and the picture, and return the plain record."""
    output.mkdir(parents=True, exist_ok=True)
    table = tabulate_rounds(found)
    table.to_csv(output / "simulation.csv", index=False)
    plots = output / "plots"
    plots.mkdir(exist_ok=True)
    treated, untreated = ({name: both[one] for name, both in found.items()} for one in WORDS)
    save_figure(plot_simulation(treated, untreated), plots / "simulation.png")
    figures = [
        {"policy": name, "treated": one, **summarise(result)}
        for name, both in found.items()
        for one, result in both.items()
    ]
    return {"figures": figures, "all_rounds": table.to_dict("records")}


def flatten_figures(figures: list[dict[str, Any]]) -> dict[str, float]:
    """Return every number as ``<policy>.<treated or untreated>.<figure>``."""
    return {
        f"{row['policy']}.{WORDS[row['treated']]}.{key}": float(value)
        for row in figures
        for key, value in row.items()
        if isinstance(value, int | float) and key != "treated" and isfinite(value)
    }
