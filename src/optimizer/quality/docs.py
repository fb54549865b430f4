"""Data Docs: the library's HTML pages, made to render without a network.

great-expectations links its styles, scripts and logo from seven hosts and builds the index in
JavaScript. A report that is kept as an artifact must open anywhere, years later: every outside
reference is taken out, a small style sheet is put in, and the index is written as plain HTML.
"""

from __future__ import annotations

import re
import shutil
from html import escape
from pathlib import Path

from optimizer.quality.docs_style import STYLE
from optimizer.quality.report import Check, QualityReport, show
from optimizer.quality.runner import SuiteRun, quiet_gx

SITE = "cloud_workload_optimizer"
TITLE = "Telemetry quality"
_OUTSIDE = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>|<footer>.*?</footer>"
    r"|@font-face\s*\{.*?\}",
    re.DOTALL,
)
_ACTIONS = re.compile(r"<strong>\s*Actions\s*</strong>|Validation Filter:")


def write_docs(run: SuiteRun, report: QualityReport, directory: Path) -> Path:
    """Write the Data Docs of a validation.

    Parameters
    ----------
    run : SuiteRun
        The finished validation.
    report : QualityReport
        Its outcome, for the index.
    directory : pathlib.Path
        Created if absent; holds ``index.html``, ``validations/`` and ``expectations/``.

    Returns
    -------
    pathlib.Path
        The index page.
    """
    _build_site(run, directory)
    for page in directory.rglob("*.html"):
        page.write_text(_localise(page.read_text(encoding="utf-8")), encoding="utf-8")
    index = directory / "index.html"
    index.write_text(_index(report, _links(run, directory)), encoding="utf-8")
    return index


def _build_site(run: SuiteRun, directory: Path) -> None:
    with quiet_gx():
        run.context.add_data_docs_site(
            site_name=SITE,
            site_config={
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    "base_directory": str(directory.resolve()),
                },
            },
        )
        run.context.build_data_docs(site_names=[SITE])
        run.context.delete_data_docs_site(SITE)
    shutil.rmtree(directory / "static", ignore_errors=True)


def _localise(html: str) -> str:
    """Return the page without outside references, with the style sheet inside."""
    html = _ACTIONS.sub("", _OUTSIDE.sub("", html))
    return html.replace("</head>", f"<style>{STYLE}</style></head>", 1)


def _links(run: SuiteRun, directory: Path) -> dict[str, str]:
    """Return the address of each asset's result page, relative to the index."""
    return {
        asset: page.relative_to(directory).as_posix()
        for asset in run.assets
        for page in sorted((directory / "validations" / asset).rglob("*.html"))
    }


def _index(report: QualityReport, links: dict[str, str]) -> str:
    order = sorted(report.checks, key=lambda c: (c.passed, c.severity != "error"))
    rows = "\n".join(_row(check) for check in order)
    reasons = "".join(
        f"<tr><td>{escape(why)}</td><td>{n:,}</td></tr>"
        for why, n in report.quarantined_by_reason.items()
    )
    pages = " ".join(
        f'<a class="nav-link" href="{escape(page)}">{escape(asset)}</a>'
        for asset, page in links.items()
    )
    state = "passed" if report.success else "failed"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><title>{TITLE}</title><style>{STYLE}</style></head>
<body><main class="index">
<h1>{TITLE} <span class="badge {state}">{state}</span></h1>
<p>{report.n_rows:,} rows, {report.n_quarantined:,} quarantined, {len(report.checks)} checks,
errors: {len(report.errors)}, warnings: {len(report.warnings)}. In detail: {pages}</p>
{f'<h2>Quarantined rows</h2><table class="table">{reasons}</table>' if reasons else ""}
<h2>Checks</h2>
<table class="table"><thead><tr><th>Result</th><th>Check</th><th>Subject</th><th>Observed</th>
<th>Allowed</th></tr></thead><tbody>
{rows}
</tbody></table></main></body></html>
"""


def _row(check: Check) -> str:
    state = "passed" if check.passed else ("failed" if check.severity == "error" else "warning")
    cells = (check.name, check.subject, show(check.observed), check.allowed)
    told = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr><td><span class="badge {state}">{state}</span></td>{told}</tr>'
