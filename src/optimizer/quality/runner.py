"""Runs the expectations in great-expectations and reads its answers back as plain checks.

The only module, with :mod:`optimizer.quality.docs`, that knows the library.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from optimizer.core.schema import SERVICE
from optimizer.quality.report import Check, Observed, Severity
from optimizer.quality.spec import Expectation

_GX_SEVERITY: dict[Severity, str] = {"error": "critical", "warning": "warning"}


@dataclass(frozen=True)
class SuiteRun:
    """A finished validation.

    Parameters
    ----------
    checks : tuple of Check
        One per expectation that was run, in the order given.
    context : great_expectations.data_context.EphemeralDataContext
        Holds suites and results, for the Data Docs.
    assets : tuple of str
        The frames that were validated.
    """

    checks: tuple[Check, ...]
    context: Any
    assets: tuple[str, ...]


@contextmanager
def quiet_gx() -> Iterator[None]:
    """Keep great-expectations from calling home and from logging.

    Some of its loggers set a level of their own, so their records are stopped on the way up.
    What it fails at is in its results, and so in the checks.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the library is imported
    logger, silence = logging.getLogger("great_expectations"), logging.NullHandler()
    propagate = logger.propagate
    logger.addHandler(silence)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = propagate
        logger.removeHandler(silence)


def run_suite(
    expectations: tuple[Expectation, ...],
    frames: Mapping[str, pd.DataFrame],
    severities: Mapping[str, Severity],
    run_time: datetime,
) -> SuiteRun:
    """Hold every expectation against its frame; those on a frame without rows are left out.

    Parameters
    ----------
    expectations : tuple of Expectation
        The suite; each names its frame.
    frames : mapping of str to pandas.DataFrame
        The frames by name.
    severities : mapping of str to {"error", "warning"}
        Severity of every check.
    run_time : datetime.datetime
        Names the run in the Data Docs; the newest timestamp of the data, not the wall clock.
    """
    with quiet_gx():
        context = _open_context()
        assets = tuple(name for name, frame in frames.items() if len(frame))
        found: dict[int, Check] = {}
        for asset in assets:
            chosen = {i: e for i, e in enumerate(expectations) if e.asset == asset}
            results = _validate(context, asset, frames[asset], chosen, severities, run_time)
            for i, result in results.items():
                found[i] = _read(chosen[i], result, frames[asset], severities)
    return SuiteRun(tuple(found[i] for i in sorted(found)), context, assets)


def _open_context() -> Any:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _validate(
    context: Any,
    asset: str,
    frame: pd.DataFrame,
    chosen: Mapping[int, Expectation],
    severities: Mapping[str, Severity],
    run_time: datetime,
) -> dict[int, Any]:
    """Return the library's result of each chosen expectation by its number."""
    import great_expectations as gx
    import great_expectations.expectations as kinds
    from great_expectations.core.run_identifier import RunIdentifier

    source = context.data_sources.add_pandas(asset)
    batch = source.add_dataframe_asset(asset).add_batch_definition_whole_dataframe("all")
    suite = gx.ExpectationSuite(
        name=asset,
        expectations=[
            getattr(kinds, e.kind)(
                **e.arguments,
                severity=_GX_SEVERITY[severities[e.check]],
                meta={"check": e.check, "number": i},
            )
            for i, e in chosen.items()
        ],
    )
    definition = gx.ValidationDefinition(name=asset, data=batch, suite=context.suites.add(suite))
    outcome = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame},
        result_format="BASIC",
        run_id=RunIdentifier(run_name="quality", run_time=run_time),
    )
    return {r.expectation_config.meta["number"]: r for r in outcome.results}


def _read(
    expectation: Expectation, result: Any, frame: pd.DataFrame, severities: Mapping[str, Severity]
) -> Check:
    return Check(
        name=expectation.check,
        subject=expectation.subject,
        severity=severities[expectation.check],
        passed=bool(result.success),
        observed=_observed(expectation, result, frame),
        allowed=expectation.allowed,
        fix=expectation.fix,
    )


def _observed(expectation: Expectation, result: Any, frame: pd.DataFrame) -> Observed:
    """Return the value seen: of services the worst one by name, else what the library saw."""
    if result.exception_info.get("raised_exception"):
        return f"not checked, {result.exception_info['exception_message']}"
    if expectation.asset == "services":
        limit = expectation.arguments["max_value"]
        return worst_service(frame, expectation.arguments["column"], limit)
    if expectation.asset == "schema":
        return str(frame[expectation.arguments["column"]].iloc[0])
    value = result.result.get("observed_value", result.result.get("unexpected_count"))
    return float(value) if value is not None and np.isfinite(value) else None


def worst_service(services: pd.DataFrame, column: str, limit: float) -> str:
    """Return how many services exceed the limit, and the one with the highest value."""
    values = services[column].to_numpy(float)
    worst = int(values.argmax())
    return (
        f"{int((values > limit).sum())} of {len(values)} services above, "
        f"highest {values[worst]:.4g} ({services[SERVICE].iloc[worst]})"
    )
