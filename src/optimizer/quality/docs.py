"""Data Docs: the library's HTML pages, made to render without a network.

great-expectations links its styles, scripts and logo from seven hosts and builds the index in
JavaScript. A report that is kept as an artifact must open anywhere, years later: every outside
reference is taken out, a small style sheet is put in, and the index is written as plain HTML.
"""

from __future__ import annotations

import re
import shutil
from importlib.resources import files
from pathlib import Path

from optimizer.core.output import open_template
from optimizer.quality.report import QualityReport, show
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
    style = files(__package__).joinpath("templates", "docs.css").read_text(encoding="utf-8")
    for page in directory.rglob("*.html"):
        text = _localise(page.read_text(encoding="utf-8"), style)
        page.write_text(text, encoding="utf-8")
    index = directory / "index.html"
    index.write_text(_index(report, _links(run, directory), style), encoding="utf-8")
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


def _localise(html: str, style: str) -> str:
    """Return the page without outside references, with the style sheet inside."""
    html = _ACTIONS.sub("", _OUTSIDE.sub("", html))
    return html.replace("</head>", f"<style>{style}</style></head>", 1)


def _links(run: SuiteRun, directory: Path) -> dict[str, str]:
    """Return the address of each asset's result page, relative to the index."""
    return {
        asset: page.relative_to(directory).as_posix()
        for asset in run.assets
        for page in sorted((directory / "validations" / asset).rglob("*.html"))
    }


def _index(report: QualityReport, links: dict[str, str], style: str) -> str:
    state = "passed" if report.success else "failed"
    page = open_template(__package__, "index.html.j2", show=show)
    return str(page.render(title=TITLE, state=state, report=report, links=links, style=style))
