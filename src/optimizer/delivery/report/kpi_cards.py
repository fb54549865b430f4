"""The report's tiles: the fleet's cost and saving, and how many services are concerned."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from optimizer.delivery.report.view_model import AT_RISK, DASH, money, percent, quantity

NAN = float("nan")
FLEET = (
    "services",
    "current_monthly_cost",
    "target_monthly_cost",
    "monthly_saving",
    "monthly_saving_p10",
    "monthly_saving_p90",
    "packed_monthly_saving",
    "violated_share",
)
"""Figures of the fleet that have their own tile; any other is shown under its own name."""


def build_tiles(
    frame: pd.DataFrame, fleet: Mapping[str, float], currency: str
) -> list[dict[str, str]]:
    """Return the tiles, each a ``label``, a ``value`` and a ``hint``.

    Parameters
    ----------
    frame : pandas.DataFrame
        Recommendations.
    fleet : mapping of str to float
        Figures of the fleet, see :data:`FLEET`. A figure that is absent is taken from the frame
        where rows add up to it (services, expected saving, violated share), and is a dash
        otherwise: quantiles do not add up.
    currency : str
        Unit of all amounts.
    """
    tiles = _cost_tiles(frame, fleet, currency) + _count_tiles(frame)
    share = fleet.get("violated_share", frame["exceedance"].mean())
    tiles.append(
        _tile("Steps expected above target", percent(share), "of CPU, in the coming interval")
    )
    if "packed_monthly_saving" in fleet:
        packed = f"{money(fleet['packed_monthly_saving'])} {currency}"
        tiles.append(
            _tile("Saved once nodes are given back", packed, "per month, after packing the pods")
        )
    for name in (name for name in fleet if name not in FLEET):
        money_like = name.endswith("_cost")
        value = _amount(fleet[name], currency) if money_like else quantity(fleet[name])
        tiles.append(_tile(words_of(name), value, "a month" if money_like else ""))
    return tiles


def words_of(name: str) -> str:
    """Return a figure's name as a label."""
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


def _cost_tiles(
    frame: pd.DataFrame, fleet: Mapping[str, float], currency: str
) -> list[dict[str, str]]:
    """Return what is paid now, what would be, and the difference with its range."""
    current = fleet.get("current_monthly_cost", NAN)
    saving = fleet.get("monthly_saving", frame["monthly_saving"].sum(min_count=1))
    low, high = fleet.get("monthly_saving_p10", NAN), fleet.get("monthly_saving_p90", NAN)
    unknown = int(frame["monthly_saving"].isna().sum())
    known = "all rows have a price"
    if unknown:
        known = f"{unknown} of {len(frame)} rows without a price or capacity are not counted"
    share = f"{percent(saving / current)} of now; " if current > 0 else ""
    spread = DASH
    if np.isfinite(low) and np.isfinite(high):
        spread = f"{money(low)} to {money(high)}"
    return [
        _tile("Cost per month now", _amount(current, currency), known),
        _tile(
            "Cost per month recommended",
            _amount(fleet.get("target_monthly_cost", NAN), currency),
            "had the policy been followed",
        ),
        _tile("Saving per month", _amount(saving, currency), f"{share}P10 to P90: {spread}"),
    ]


def _count_tiles(frame: pd.DataFrame) -> list[dict[str, str]]:
    """Return how many rows ask for what, and how many services are in trouble."""
    services = frame["service_id"].nunique()
    actions = frame["action"].value_counts()
    up, down, keep, none = (
        int(actions.get(name, 0)) for name in ("scale_up", "scale_down", "keep", "none")
    )
    at_risk = frame.loc[frame["risk"] >= AT_RISK, "service_id"].nunique()
    short = frame.loc[frame["finding"] == "under_provisioned", "service_id"].nunique()
    of_all = f"of {services} services"
    return [
        _tile("Scale up / scale down", f"{up} / {down}", f"of {len(frame)} requests"),
        _tile("Keep / none", f"{keep} / {none}", f"of {len(frame)} requests"),
        _tile("Services at risk", str(at_risk), f"{of_all}: risk {AT_RISK:g} or more"),
        _tile("Under-provisioned", str(short), f"{of_all}, in one resource at least"),
    ]


def _amount(value: float, currency: str) -> str:
    return f"{money(value)} {currency}" if np.isfinite(value) else DASH


def _tile(label: str, value: str, hint: str) -> dict[str, str]:
    return {"label": label, "value": value, "hint": hint}
