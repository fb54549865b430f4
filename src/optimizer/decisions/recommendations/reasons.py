"""The plain sentence of a recommendation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.demand.usage import CPU, MEMORY, Usage
from optimizer.models.exceedance.explanation import format_percent

SENTENCES = {
    "silent": "{name} has not been observed for {stale} or longer: nothing can be recommended.",
    "history_too_short": (
        "{name} was observed for {days:.1f} days only, too short to tell what it needs: "
        "{least} are enough."
    ),
    "capacity_unknown": (
        "The {name} capacity is unknown: the target is a share of it, and nothing can be changed "
        "or priced."
    ),
    "clipped_at_limit": (
        "{name} usage is clipped at its limit: demand may be higher, so {current:.3g} {unit} are "
        "not lowered."
    ),
    "too_small": "{name} needs {target:.3g} {unit} rather than {current:.3g}: even so {above}.",
    "idle": (
        "{name} is hardly used: {target:.3g} {unit} instead of {current:.3g} would do; ask "
        "whether the service is needed at all."
    ),
    "too_large": "{name} can shrink from {current:.3g} to {target:.3g} {unit}: {above}.",
    "fits": "{name} fits in {current:.3g} {unit}: {above}.",
}
"""Sentence of each reason code."""
ABOVE = {
    CPU: "{} of the steps are expected above",
    MEMORY: "the peak is above with a probability of {}",
}
"""What the exceedance of a target means."""


def format_reasons(
    codes: NDArray[np.str_],
    usage: Usage,
    current: FloatArray,
    target: FloatArray,
    exceedance: FloatArray,
    spans: tuple[str, str],
) -> list[str]:
    """Return one sentence per service.

    - ``codes``: reason codes, shape ``(n_services,)``.
    - ``usage``: names the resource; its observed steps tell the history.
    - ``current``, ``target``, ``exceedance``: shape ``(n_services,)``.
    - ``spans``: silence after which nothing is recommended, and history that suffices for all
      policies.
    """
    name, unit = ("CPU", "cores") if usage.resource == CPU else ("Memory", "GiB")
    days = np.sum(~np.isnan(usage.values), axis=1) * (usage.step.total_seconds() / 86400.0)
    days = np.floor(10.0 * days + 1e-9) / 10.0  # 23 hours are not 1.0 days
    rows: Iterable[tuple[str, float, float, float, float]] = zip(
        codes.tolist(), current.tolist(), target.tolist(), exceedance.tolist(), days.tolist(),
        strict=True,
    )  # fmt: skip
    return [
        SENTENCES[code].format(
            name=name, unit=unit, current=now, target=then, days=seen, stale=spans[0],
            least=spans[1], above=ABOVE[usage.resource].format(_format_share(share)),
        )
        for code, now, then, share, seen in rows
    ]  # fmt: skip


def _format_share(share: float) -> str:
    if np.isnan(share):
        return "an unknown share"
    return "less than 0.01 %" if share < 1e-4 else format_percent(share)
