"""What a recommendation leaves and shows: tables, a report, patches, a page on the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flows.messages import say, show_table
from optimizer.core.artifacts import write_json
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.durations import format_duration
from optimizer.decisions.pricing.catalogue import PriceCatalogue
from optimizer.decisions.recommendations.pricing import MONEY, PACKED, total_cost
from optimizer.decisions.recommendations.replica_profile import Replicas
from optimizer.decisions.recommendations.snapshot import Asked
from optimizer.delivery.patches.keda import ReplicaProfile
from optimizer.delivery.patches.settings import PatchSettings
from optimizer.delivery.patches.writer import skipped_patches, write_patches
from optimizer.delivery.report.report import ReportContext, write_report
from optimizer.delivery.report.tables import write_tables
from optimizer.delivery.report.view_model import tell_risk
from optimizer.demand.usage import CPU
from optimizer.evaluation.coverage import COUNTED

SHOWN_AT_MOST = 20
"""Rows of the table on the terminal; the files hold all."""
CHANGES = ("scale_up", "scale_down")


@dataclass(frozen=True)
class Recommended:
    """Recommendations, ready to be written and shown.

    Parameters
    ----------
    replicas : Replicas
        Holds the frame of recommendations.
    fleet : dict
        Money per month.
    nodes : tuple of str
        Type of the nodes that were packed, before and after.
    asked : dict
        What was asked, by resource.
    catalogue : PriceCatalogue, optional
        Prices.
    models : dict
        Version of each champion, by target.
    policy, data : str
        Names.
    notes : tuple of str
        What a reader must know.
    deadband : float
        Changes of less than this share of the present request are not worth a patch.
    """

    replicas: Replicas
    fleet: dict[str, float]
    nodes: tuple[str, ...]
    asked: dict[str, Asked]
    catalogue: PriceCatalogue | None
    models: dict[str, str]
    policy: str
    data: str
    notes: tuple[str, ...]
    deadband: float

    @property
    def frame(self) -> pd.DataFrame:
        """The recommendations, one row per service and resource."""
        return self.replicas.frame

    @property
    def span(self) -> tuple[pd.Timestamp, pd.Timestamp]:
        """The newest moment known, and the end of the coming interval."""
        usage = next(iter(self.asked.values())).case.usage
        now = pd.Timestamp(usage.timestamps[-1], tz="UTC")
        return now, now + self.hold

    @property
    def hold(self) -> pd.Timedelta:
        """How long a request holds."""
        return next(iter(self.asked.values())).hold


def write_recommendations(
    found: Recommended, settings: PatchSettings, output: Path
) -> dict[str, Any]:
    """Write tables, report and patches, and return the plain record."""
    now, until = found.span
    frame = found.frame.assign(known_until=now.isoformat(), valid_until=until.isoformat())
    write_tables(frame, output)
    catalogue = found.catalogue
    context = ReportContext(
        title=f"Right-sizing of {found.data}",
        generated_at=pd.Timestamp.now(tz="UTC").floor("s"),
        cutoff=now,
        valid_until=until,
        policy=found.policy,
        policy_words=WORDS.get(found.policy, "as its yaml in conf/policy says"),
        price_name=catalogue.name if catalogue else "no prices",
        price_as_of=str(catalogue.as_of) if catalogue else "-",
        currency=catalogue.currency if catalogue else "",
        models=found.models,
        data_name=found.data,
        fleet={**found.fleet, "violated_share": violated_share(frame)},
        promises=pd.concat([one.promises for one in found.asked.values()]),
        bounds=pd.concat([one.bounds for one in found.asked.values()]),
        notes=found.notes,
    )
    usages = {name: one.case.usage for name, one in found.asked.items()}
    write_report(frame, usages, context, output / "report.html")
    replicas = found.replicas
    profile = ReplicaProfile(replicas.services, replicas.hourly) if replicas.services else None
    per_pod = scale_rows(frame, found.deadband)
    paths = write_patches(per_pod, output / "patches", settings, profile)
    skipped = skipped_patches(per_pod, profile)
    record = {
        "cutoff": str(now),
        "valid_until": str(until),
        "policy": found.policy,
        "models": found.models,
        "fleet": found.fleet,
        "actions": frame["action"].value_counts().to_dict(),
        "findings": frame["finding"].value_counts().to_dict(),
        "promises": context.promises.to_dict("records"),
        "bounds": context.bounds.to_dict("records"),
        "notes": list(found.notes),
        "patches": len(paths),
        "patches_monthly_saving": standing_saving(frame, per_pod, catalogue),
        "contradicted": int(contradicts(frame).sum()),
        "without_patch": [vars(one) for one in skipped],
    }
    write_json(output / "recommend.json", record)
    return record


WORDS = {
    "cost_optimal": "requests the level of least cost plus predicted risk",
    "budget_optimal": "requests the cheapest levels that keep a budget of violated steps",
    "quantile": "requests the level that a promised share of steps exceeds",
}
"""How a policy decides, in a few words."""


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


def show_recommendations(
    found: Recommended, record: dict[str, Any], config: ExperimentConfig, output: Path
) -> None:
    """Print the recommendations that matter most, and what they add up to."""
    frame = found.frame
    weight = frame["monthly_saving"].abs().fillna(0.0) + frame["action"].isin(CHANGES)
    order = np.argsort(-weight.to_numpy(), kind="stable")[:SHOWN_AT_MOST]
    rows = [_tell_row(row) for row in frame.iloc[order].to_dict("records")]
    title = f"recommendations until {record['valid_until'][:16]}, {len(frame)} in all"
    show_table(title, HEAD, rows)
    counts = ", ".join(f"{number} {name}" for name, number in record["actions"].items())
    say(f"{counts}; at risk (3 or more): {int((frame['risk'] >= 3).sum())} rows")
    if found.catalogue is not None and found.fleet:
        for line in _tell_fleet(found.fleet, found.catalogue, found.nodes):
            say(line)
    for line in _tell_promises(found.asked):
        say(line)
    money, against = record["patches_monthly_saving"], record["contradicted"]
    told = f"{record['patches']} files in {output / 'patches'}, nothing was applied"
    if record["patches"]:
        told += ": they hold the highest target of the last week"
        if not np.isnan(money):
            does = "saves" if money >= 0 else "costs"
            told += f", which {does} {abs(money):,.0f} a month if they stand"
    if against:
        told += f"; {against} rows get none, since that week contradicts the coming hours"
    say(
        told,
        f"report {output / 'report.html'}, {record['seconds']:.0f} s; "
        f"run {record['run_id']} in {config.tracking.uri}",
    )


HEAD = (
    "service", "resource", "current", "target", "P5-P95 of peak", "action", "finding", "above",
    "risk", "saving/month", "event",
)  # fmt: skip


def _tell_row(row: dict[str, Any]) -> tuple[str, ...]:
    def tell(value: float, form: str) -> str:
        return "-" if np.isnan(value) else format(value, form)

    money = [tell(row[name], ",.0f") for name in MONEY]
    return (
        str(row["service_id"]),
        str(row["resource"]),
        tell(row["current"], ".3g"),
        tell(row["target"], ".3g"),
        f"{tell(row['lower_bound'], '.3g')}-{tell(row['upper_bound'], '.3g')}",
        str(row["action"]),
        str(row["finding"]),
        tell(row["exceedance"], ".2%"),
        "-" if np.isnan(row["risk"]) else tell_risk(row["risk"]),
        f"{money[0]} [{money[1]}, {money[2]}]",
        tell(row["event_probability"], ".1%"),
    )


def _tell_promises(asked: dict[str, Asked]) -> list[str]:
    """Return what came of each resource's promises that have come due."""
    lines = []
    for name, one in asked.items():
        if one.bounds.empty:
            lines.append(f"{name}: no promise of this surface has come due yet")
            continue
        promised, came = (
            "/".join(f"{100 * share:.3g}" for share in one.promises[column])
            for column in ("promised", "realised")
        )
        held = one.bounds.iloc[0]
        lines.append(
            f"{name}, {format_duration(one.due)} that its surface had not learned from: "
            f"{promised}% of {COUNTED[name]} promised above a level, {came}% realised; "
            f"{held['covered']:.1%} of {held['intervals']:,} peaks within P5-P95"
        )
    return lines


def _tell_fleet(
    fleet: dict[str, float], prices: PriceCatalogue, nodes: tuple[str, ...]
) -> list[str]:
    unit = prices.currency
    saved, low, high = (f"{fleet[name]:,.0f}" for name in MONEY)
    cost = f"{fleet['current_monthly_cost']:,.0f}"
    told = f"requests cost {cost} {unit} a month at the prices of {prices.name}, {prices.as_of}; "
    lines = [told + f"following the policy saves {saved} [P10 {low}, P90 {high}]"]
    if "packed_monthly_saving" in fleet:
        freed, packed, before, after = (f"{fleet[name]:,.0f}" for name in PACKED)
        told = f"today's targets free requests of {freed} {unit} a month; "
        told += f"nodes for them cost {packed} less: {before} {nodes[0]} become {after} {nodes[-1]}"
        lines.append(told)
    return lines
