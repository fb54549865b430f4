"""The report of right-sizing recommendations: one page that needs no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from optimizer.core.output import open_template, write_bytes
from optimizer.delivery.report.plots import plot_risks, plot_savings, plot_service, svg_source
from optimizer.delivery.report.tables import check_fields
from optimizer.delivery.report.view_model import (
    FINDINGS,
    SIGNS,
    build_rows,
    build_tiles,
    money,
    pick_services,
    words,
)
from optimizer.demand.usage import Usage
from optimizer.evaluation.coverage import format_bounds, format_promises
from optimizer.evaluation.plots.coverage import plot_promises


@dataclass(frozen=True)
class ReportContext:
    """What a report says beside the recommendations themselves.

    - ``generated_at``, ``cutoff``, ``valid_until``: UTC: when it was made, the newest moment known,
      and the end of the coming interval.
    - ``policy``, ``policy_words``: name of the policy, and one sentence on how it decides.
    - ``price_name``, ``price_as_of``, ``currency``: price list, its date, and the unit of all
      amounts.
    - ``models``: version of each model that spoke; empty if none did.
    - ``promises``, ``bounds``: how promises came true over weeks that the models had not learned
      from, as of :func:`~optimizer.evaluation.coverage.tabulate_promises` and ``tabulate_bounds``,
      by resource; without rows where none has come due.
    - ``notes``: what a reader must know, such as services without a capacity.
    """

    title: str
    generated_at: pd.Timestamp
    cutoff: pd.Timestamp
    valid_until: pd.Timestamp
    policy: str
    policy_words: str
    price_name: str
    price_as_of: str
    currency: str
    models: Mapping[str, str]
    data_name: str
    fleet: Mapping[str, float]
    promises: pd.DataFrame
    bounds: pd.DataFrame
    notes: tuple[str, ...] = field(default=())


def write_report(
    frame: pd.DataFrame,
    usage_by_resource: Mapping[str, Usage],
    context: ReportContext,
    path: Path,
    details: int = 12,
) -> Path:
    """Write the recommendations as one HTML page and return its path.

    The page loads nothing from anywhere, which its own security policy enforces, and equal input
    gives an equal page. Usage after the cutoff is not drawn. ``frame``: recommendations, one row
    per service and resource, columns :data:`optimizer.delivery.report.tables.FIELDS`. ``details``:
    how many services are looked at closely, at least 0. Raises SchemaError: a column is missing.
    """
    check_fields(frame)
    frame = frame.reset_index(drop=True)
    picked = pick_services(frame, details)
    anchors = {name: f"service-{place}" for place, name in enumerate(picked, start=1)}
    script, style = (
        files(__package__).joinpath("templates", name).read_text(encoding="utf-8")
        for name in ("report.js", "report.css")
    )
    page = open_template(__package__, "report.html.j2", words=words).render(
        context=context,
        facts=_facts(context),
        until_iso=_utc(context.valid_until).isoformat(),
        tiles=build_tiles(frame, context.fleet, context.currency),
        rows=build_rows(frame, anchors),
        actions=_counts(frame["action"], tuple(SIGNS)),
        findings=_counts(frame["finding"], FINDINGS),
        fleet_plots=_fleet_plots(frame, context) if len(frame) else [],
        details=[
            _detail(frame[frame["service_id"].astype(str) == name], usage_by_resource, context)
            | {"service": name, "anchor": anchor}
            for name, anchor in anchors.items()
        ],
        style=style,
        script=script,
        script_hash=_hash(script),
    )
    return write_bytes(path, page.encode("utf-8", errors="replace"))


def _facts(context: ReportContext) -> dict[str, str]:
    """Return the head's terms and texts."""
    models = ", ".join(f"{name} {version}" for name, version in sorted(context.models.items()))
    return {
        "Made": _moment(context.generated_at),
        "Knows usage until": _moment(context.cutoff),
        "Valid until": _moment(context.valid_until),
        "Policy": f"{context.policy}: {context.policy_words}",
        "Models": models or "none",
        "Prices": f"{context.price_name}, as of {context.price_as_of}, in {context.currency}",
    }


def _fleet_plots(frame: pd.DataFrame, context: ReportContext) -> list[dict[str, str]]:
    """Return the fleet's pictures with what they show in words."""
    by_finding = frame.groupby("finding")["monthly_saving"].sum(min_count=1)
    said = ", ".join(f"{words(str(name))} {money(value)}" for name, value in by_finding.items())
    plots = [
        {
            "source": svg_source(plot_savings(frame, context.currency)),
            "alt": f"Bars of the monthly saving by finding, in {context.currency}: {said}",
            "caption": "In brackets the number of requests, those without a price too.",
        },
        {
            "source": svg_source(plot_risks(frame)),
            "alt": "Histogram of the services' risk, from 0 to 4",
            "caption": "Each service counts once, with the highest risk of its resources.",
        },
    ]
    if len(context.promises):
        plots.append(
            {
                "source": svg_source(plot_promises(context.promises, "steps, of memory peaks,")),
                "alt": "Promised against realised share of steps, of memory peaks, above a level",
                "caption": f"{format_promises(context.promises)} Above the band the level was "
                f"exceeded more often than promised. {format_bounds(context.bounds)}",
            }
        )
    return plots


def _detail(
    rows: pd.DataFrame, usage_by_resource: Mapping[str, Usage], context: ReportContext
) -> dict[str, Any]:
    """Return a service's picture and a line per resource."""
    told = [
        f"{row['resource']}: {row['sign']} {words(row['action'])}, {row['current']} → "
        f"{row['target']} {row['unit']}; risk {row['risk']}, saving {row['saving']} "
        f"{context.currency} per month. {row['reason']}"
        for row in build_rows(rows.sort_values("resource", kind="stable"), {})
    ]
    figure = plot_service(rows, usage_by_resource, context.cutoff, context.valid_until)
    resources = " and ".join(sorted(map(str, rows["resource"])))
    return {
        "lines": told,
        "source": svg_source(figure) if figure else "",
        "alt": f"Last 7 days of {resources} usage with current request, target and bounds",
    }


def _counts(values: pd.Series[str], known: tuple[str, ...]) -> dict[str, int]:
    """Return how often each value occurs, the known ones in their order."""
    found = values.value_counts()
    names = [name for name in known if name in found]
    return {name: int(found[name]) for name in names + sorted(set(found.index) - set(names))}


def _hash(script: str) -> str:
    """Return the digest by which the page allows its one script and no other."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _utc(moment: pd.Timestamp) -> pd.Timestamp:
    return moment.tz_convert("UTC") if moment.tzinfo else moment.tz_localize("UTC")


def _moment(moment: pd.Timestamp) -> str:
    return f"{_utc(moment):%Y-%m-%d %H:%M} UTC"
