"""What a recommendation leaves: tables, a report, patches, and the plain record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from optimizer.core.artifacts import write_json
from optimizer.decisions.recommendations.standing import (
    contradicts,
    scale_rows,
    standing_saving,
    violated_share,
)
from optimizer.decisions.services.recommend import RecommendationResult
from optimizer.delivery.patches.plan import ReplicaProfile
from optimizer.delivery.patches.writer import Patches, skipped_patches
from optimizer.delivery.report.report import ReportContext, write_report
from optimizer.delivery.report.tables import write_tables
from optimizer.demand.usage import CPU

WORDS = {
    "cost_optimal": "requests the level of least cost plus predicted risk",
    "budget_optimal": "requests the cheapest levels that keep a budget of violated steps",
    "quantile": "requests the level that a promised share of steps exceeds",
}
"""How a policy decides, in a few words."""


def write_recommendations(
    found: RecommendationResult, patches: Patches, output: Path
) -> dict[str, Any]:
    """Write tables, report and patches, and return the plain record."""
    output.mkdir(parents=True, exist_ok=True)
    now, until = found.span
    frame = found.frame.assign(known_until=now.isoformat(), valid_until=until.isoformat())
    write_tables(frame, output)
    catalogue = found.catalogue
    context = ReportContext(
        title=f"Right-sizing of {found.data}",
        generated_at=pd.Timestamp.now(tz="UTC").floor("s"),
        cutoff=now,
        valid_until=until,
        policy=", ".join(f"{name} for {resource}" for resource, name in found.policies.items()),
        policy_words=WORDS.get(found.policies[CPU], "as its yaml in conf/policy says"),
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
    paths = patches.write(per_pod, output / "patches", profile)
    skipped = skipped_patches(per_pod, profile)
    record = {
        "cutoff": str(now),
        "valid_until": str(until),
        "policies": found.policies,
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
