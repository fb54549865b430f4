"""What drove a forecast: the inputs with the largest SHAP values, told in words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.demand.usage import Usage
from optimizer.models.exceedance.features import HALFLIVES, REFERENCES, SurfaceTable
from optimizer.models.exceedance.surface import ExceedanceSurface

PLAIN = ("sin ", "cos ")
"""First words of the features that are neither ratios, shares nor times."""
SHARES = ("idle", "low", "high", "observed", "last peak's rank")
"""First words of those that are shares of steps."""
TIMES = ("age", "since")
"""First words of those that are log(1 + steps)."""


def explain_targets(
    model: ExceedanceSurface, usage: Usage, table: SurfaceTable, targets: FloatArray, most: int = 3
) -> tuple[tuple[str, ...], ...]:
    """Return what drove the exceedance of each service's target, the strongest first.

    Such as ``"target = 1.20 x max 24h (lowers the risk)"``; empty for a service without history.
    ``usage``: up to the cutoff. ``table``: features of one cutoff. ``targets``: shape
    ``(n_services,)``, positive. ``most``: how many inputs are told.

    References
    ----------
    Lundberg et al., From local explanations to global understanding with explainable AI for
    trees, Nature Machine Intelligence 2020: LightGBM's own exact TreeSHAP.
    """
    inputs, shap = model.contributions(usage, table, targets)
    names = input_names(table)
    order = np.argsort(-np.abs(shap), axis=1)[:, :most]
    return tuple(
        tuple(
            f"{names[i](float(inputs[row, i]))} ({'raises' if shap[row, i] > 0 else 'lowers'} "
            "the risk)"
            for i in order[row].tolist()
        )
        if table.known[0, row]
        else ()
        for row in range(len(targets))
    )


def input_names(table: SurfaceTable) -> list[Callable[[float], str]]:
    """Return, for each input of the surface, how its value is told."""
    told = [_format_feature(name) for name in table.names]
    told += [_format_ratio(f"target = {{}} x {name}") for name in REFERENCES]
    return told + [_format_share(f"past steps above target ({life})") for life in HALFLIVES]


def _format_feature(name: str) -> Callable[[float], str]:
    if name.startswith(SHARES):
        return _format_share(f"{name} steps" if " " in name and "rank" not in name else name)
    if name.startswith(TIMES):
        return lambda value: f"{name} = {np.expm1(value):.0f} steps"
    if name.startswith(PLAIN):
        return lambda value: f"{name} = {value:.3g}"
    if name == "p99 7d":
        return _format_ratio("p99 7d = {} x capacity")
    if "trend" in name:
        return _format_ratio(f"{name} = {{}} x the window before")
    return _format_ratio(f"{name} = {{}} x p99 7d")


def _format_ratio(text: str) -> Callable[[float], str]:
    return lambda value: text.format("?" if np.isnan(value) else f"{np.exp(value):.2f}")


def _format_share(text: str) -> Callable[[float], str]:
    return lambda value: f"{text} = {'?' if np.isnan(value) else format_percent(value)}"


def format_percent(share: float) -> str:
    """Return a share in [0, 1] as a percentage of two digits; 1 is ``100 %``, not ``1e+02 %``."""
    return f"{100 * share:.0f} %" if share > 0.99 else f"{100 * share:.2g} %"
