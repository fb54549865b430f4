"""What may stand until the next change: targets of a week, where they bear the advice of now."""

from __future__ import annotations

import pandas as pd

from optimizer.decisions.pricing.catalogue import PriceCatalogue
from optimizer.decisions.recommendations.pricing import total_cost
from optimizer.demand.usage import CPU

CHANGES = ("scale_up", "scale_down")


def violated_share(frame: pd.DataFrame) -> float:
    """Return the mean share of CPU steps expected above their targets; memory counts peaks."""
    return float(frame.loc[frame["resource"] == CPU, "exceedance"].mean())


def scale_rows(frame: pd.DataFrame, deadband: float) -> pd.DataFrame:
    """Return what a patch may hold: the standing targets, per pod of services in replicas.

    A patch stands until the next one is applied, so that a target for the coming hours alone
    would fall short at the busy time of the day. Where the standing target and the advice for the
    coming hours contradict each other there is none.
    """
    number = frame["replicas"].where(frame["replicas"] > 0, 1)
    standing = frame["standing_target"]
    idle = (standing / frame["current"] - 1.0).abs() <= deadband
    moved = frame["action"].isin(CHANGES)
    action = frame["action"].mask(moved & (idle | contradicts(frame)), "keep")
    reason = "the highest request of the policy over the week until " + frame["known_until"]
    amounts = {name: frame[name] / number for name in ("current", "lower_bound", "upper_bound")}
    return frame.assign(
        target=frame["replica_size"].fillna(standing), action=action, reason=reason, **amounts
    )


def contradicts(frame: pd.DataFrame) -> pd.Series[bool]:
    """Return where a change is advised for the coming hours that a week does not bear."""
    grows = frame["standing_target"] > frame["current"]
    return frame["action"].isin(CHANGES) & (grows != (frame["action"] == "scale_up"))


def standing_saving(
    frame: pd.DataFrame, patched: pd.DataFrame, catalogue: PriceCatalogue | None
) -> float:
    """Return what the patches save a month if they stand; NaN without prices."""
    if catalogue is None:
        return float("nan")
    changed = frame[patched["action"].isin(CHANGES)]
    now, then = (total_cost(changed, name, catalogue) for name in ("current", "standing_target"))
    return now - then
