"""What the report shows, as text: rows, tiles, and which services it looks at closely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, isfinite, nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DASH, MINUS = "–", "−"  # noqa: RUF001 (typographic on purpose)
AT_RISK = 3.0
"""Risk from which on a service counts as at risk."""
LEVELS = ("low", "moderate", "elevated", "high")
SIGNS = {"scale_up": "▲", "scale_down": "▼", "keep": "=", "none": "·"}
FINDINGS = ("under_provisioned", "over_provisioned", "optimized", "idle", "unknown")
BAR = 140.0
"""Width of a row's bar in pixels."""
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


def quantity(value: float) -> str:
    """Return cores, GiB or a share to three digits, a dash for NaN."""
    if not isfinite(value):
        return DASH
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", MINUS)


def money(value: float) -> str:
    """Return an amount, with cents below 100, a dash for NaN."""
    if not isfinite(value):
        return DASH
    text = f"{value:,.0f}" if abs(value) >= 99.995 else f"{value:,.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", MINUS)


def percent(share: float) -> str:
    """Return a share in percent to two digits, a dash for NaN."""
    if not isfinite(share):
        return DASH
    size = 100.0 * share
    if 0.0 < size < 0.01:
        return "< 0.01 %"
    text = f"{size:.0f}" if abs(size) >= 9.95 else f"{size:.2g}"
    return f"{text} %".replace("-", MINUS)


def decimals(value: float, digits: int) -> str:
    """Return a number with fixed decimals, a dash for NaN."""
    return f"{value:.{digits}f}".replace("-", MINUS) if isfinite(value) else DASH


def words(name: str) -> str:
    """Return a name of the frame as it is read."""
    return name.replace("_provisioned", "-provisioned").replace("_", " ")


def format_risk(risk: float) -> str:
    """Return a risk with one digit, cut off: what is told as 3.0 is at risk; a dash if unknown."""
    return f"{floor(10.0 * risk + 1e-9) / 10.0:.1f}" if isfinite(risk) else DASH


def risk_level(risk: float) -> str:
    """Return the word of a risk: low below 1, moderate below 2, elevated below 3, else high."""
    return LEVELS[min(max(int(risk), 0), 3)] if isfinite(risk) else "unknown"


def service_costs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each service's highest ``risk`` and its sum of absolute savings, ``size``."""
    sized = frame.assign(size=frame["monthly_saving"].abs())
    return sized.groupby("service_id", sort=True).agg({"risk": "max", "size": "sum"})


def pick_services(frame: pd.DataFrame, most: int) -> list[str]:
    """Return the services to look at: at most half of them for their risk, then by saving.

    ``most``: how many at most; a service that neither is at risk nor changes its cost is left out.
    """
    table = service_costs(frame)
    at_risk = table[table["risk"] >= AT_RISK]
    risky = at_risk.sort_values(["risk", "size"], ascending=False, kind="stable").index
    picked = list(risky[: (most + 1) // 2])
    rest = table.drop(index=picked)
    rest = rest[(rest["size"] > 0) | (rest["risk"] >= AT_RISK)]
    rest = rest.sort_values(["size", "risk"], ascending=False, kind="stable")
    return [str(name) for name in (picked + list(rest.index))[:most]]


def build_rows(frame: pd.DataFrame, anchors: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the table's rows as text, those that move most money first."""
    order = pd.DataFrame({
        "size": -frame["monthly_saving"].abs(),
        "service": frame["service_id"].astype(str),
        "resource": frame["resource"].astype(str),
    }).sort_values(["size", "service", "resource"], kind="stable").index  # fmt: skip
    frame = frame.loc[order]
    ratio = (frame["target"] / frame["current"].where(frame["current"] > 0) - 1.0).to_numpy()
    saving, risk = frame["monthly_saving"].to_numpy(), frame["risk"].to_numpy()
    services = [str(name) for name in frame["service_id"]]
    columns: dict[str, Sequence[Any]] = {
        "service": services,
        "anchor": [anchors.get(name) for name in services],
        "cluster": frame["cluster_id"].astype(str).tolist(),
        "resource": frame["resource"].tolist(),
        "unit": frame["unit"].tolist(),
        "current": [quantity(value) for value in frame["current"]],
        "target": [quantity(value) for value in frame["target"]],
        "change": [_change(value) for value in ratio],
        "bar": _bars(frame),
        "range": _ranges(frame),
        "action": frame["action"].tolist(),
        "sign": [SIGNS.get(name, "") for name in frame["action"]],
        "finding": frame["finding"].tolist(),
        "risky": (risk >= AT_RISK).tolist(),
        "risk": [format_risk(value) for value in risk],
        "level": [risk_level(value) for value in risk],
        "saving": [money(value) for value in saving],
        "costs": (saving < 0).tolist(),
        "spread": _spreads(frame),
        "exceedance": [percent(value) for value in frame["exceedance"]],
        "event": [percent(value) for value in frame["event_probability"]],
        "confidence": [decimals(value, 2) for value in frame["confidence"]],
        "drivers": [tuple(map(str, told)) for told in frame["drivers"]],
        "reason": frame["reason"].astype(str).tolist(),
        "code": frame["reason_code"].astype(str).tolist(),
        "change_v": _sort_keys(ratio),
        "risk_v": _sort_keys(risk),
        "saving_v": _sort_keys(saving),
        "exceedance_v": _sort_keys(frame["exceedance"].to_numpy()),
        "event_v": _sort_keys(frame["event_probability"].to_numpy()),
        "confidence_v": _sort_keys(frame["confidence"].to_numpy()),
    }
    names = tuple(columns)
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _change(ratio: float) -> str:
    """Return a relative change in words, nothing where there is none."""
    if not isfinite(ratio) or abs(ratio) < 0.0005:
        return ""
    if ratio >= 9.995:
        return f"x {quantity(ratio + 1.0)}"
    return ("+" if ratio > 0 else "") + percent(ratio)


def _spreads(frame: pd.DataFrame) -> list[str]:
    low, high = frame["monthly_saving_p10"].to_numpy(), frame["monthly_saving_p90"].to_numpy()
    known = np.isfinite(low) & np.isfinite(high)
    return [
        f"{money(a)} to {money(b)}" if is_known else ""
        for a, b, is_known in zip(low, high, known, strict=True)
    ]


def _ranges(frame: pd.DataFrame) -> list[str]:
    """Return what a row's bar shows, for readers who do not see it."""
    cells = [map(quantity, frame[name]) for name in ("lower_bound", "upper_bound")]
    return [f"coming peak {low} to {high}" for low, high in zip(*cells, strict=True)]


def _bars(frame: pd.DataFrame) -> list[dict[str, str] | None]:
    """Return where a row's bounds, target and request lie on its bar, none if nothing is known."""
    names = ["lower_bound", "upper_bound", "target", "current"]
    values = frame[names].to_numpy(dtype=float)
    values[~np.isfinite(values)] = np.nan
    top = np.fmax.reduce(values, axis=1, initial=0.0)
    places = np.clip(values / np.where(top > 0, top, np.nan)[:, None], 0.0, 1.0) * (BAR - 6) + 2
    places[:, 2] -= 1.5  # the target's mark is three pixels wide
    return [_bar(line) for line in places]


def _bar(places: NDArray[np.float64]) -> dict[str, str] | None:
    low, high, target, current = ("" if np.isnan(at) else f"{at:.1f}" for at in places)
    if not (low or high or target or current):
        return None
    if not (low and high):
        low = high = ""
    return {"low": low, "high": high, "target": target, "current": current}


def _sort_keys(values: NDArray[Any]) -> list[str]:
    """Return what a cell sorts by, empty for NaN, which stays last."""
    return [f"{value:.6g}" if isfinite(value) else "" for value in values.astype(float)]


def build_tiles(
    frame: pd.DataFrame, fleet: Mapping[str, float], currency: str
) -> list[dict[str, str]]:
    """Return the tiles, each a ``label``, a ``value`` and a ``hint``.

    ``fleet``: figures of the fleet, see :data:`FLEET`. A figure that is absent is taken from the
    frame where rows add up to it (services, expected saving, violated share), and is a dash
    otherwise: quantiles do not add up.
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
    current = fleet.get("current_monthly_cost", nan)
    saving = fleet.get("monthly_saving", frame["monthly_saving"].sum(min_count=1))
    low, high = fleet.get("monthly_saving_p10", nan), fleet.get("monthly_saving_p90", nan)
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
            _amount(fleet.get("target_monthly_cost", nan), currency),
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
