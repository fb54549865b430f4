"""What the quality step found: a plain record that survives JSON and explains a stopped run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from optimizer.core.errors import DataQualityError

Severity = Literal["error", "warning"]
Observed = float | str | None


@dataclass(frozen=True)
class Check:
    """One expectation, held against the telemetry.

    Parameters
    ----------
    name : str
        What is checked, for example ``"gaps"``; its severity is set under this name.
    subject : str
        The column, or ``"rows"``, that it looks at.
    severity : {"error", "warning"}
        An error stops the run, a warning goes on.
    passed : bool
        Whether the telemetry met it.
    observed : float, str or None
        The value seen; None if there was nothing to look at.
    allowed : str
        What passes, with its unit.
    fix : str
        What the user can do about a failure.
    """

    name: str
    subject: str
    severity: Severity
    passed: bool
    observed: Observed
    allowed: str
    fix: str

    @property
    def title(self) -> str:
        """The check and its subject, for a line of text."""
        return f"{self.name}[{self.subject}]"

    def tell(self) -> str:
        """Return the finding as one line: title, value seen, value allowed."""
        return f"{self.title}: {show(self.observed)} (allowed: {self.allowed})"


@dataclass(frozen=True)
class QualityReport:
    """Outcome of all checks on one telemetry frame.

    Parameters
    ----------
    success : bool
        No check of severity error failed.
    n_rows : int
        Rows that arrived.
    n_quarantined : int
        Rows taken out, or with a value taken out.
    quarantined_by_reason : dict of str to int
        Rows per reason; a row that broke two rules counts under both.
    quarantined_services : dict of str to dict of str to int
        Per reason the services with most of these rows, and how many.
    checks : tuple of Check
        Every check, in the order in which failures are told.
    """

    success: bool
    n_rows: int
    n_quarantined: int
    quarantined_by_reason: dict[str, int]
    quarantined_services: dict[str, dict[str, int]]
    checks: tuple[Check, ...]

    @property
    def errors(self) -> tuple[Check, ...]:
        """Failed checks that stop the run."""
        return tuple(c for c in self.checks if not c.passed and c.severity == "error")

    @property
    def warnings(self) -> tuple[Check, ...]:
        """Failed checks that do not stop the run."""
        return tuple(c for c in self.checks if not c.passed and c.severity == "warning")

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        return {**asdict(self), "checks": [asdict(check) for check in self.checks]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> QualityReport:
        """Return the report that :meth:`to_dict` wrote."""
        checks = tuple(Check(**check) for check in values["checks"])
        return cls(**{**values, "checks": checks})

    def summary(self) -> str:
        """Return a few lines for the terminal: counts, then each failed check."""
        head = (
            f"quality: {'passed' if self.success else 'FAILED'}, {self.n_rows:,} rows, "
            f"{self.n_quarantined:,} quarantined, {len(self.checks)} checks, "
            f"errors: {len(self.errors)}, warnings: {len(self.warnings)}"
        )
        reasons = [
            f"  quarantined {n:,}: {why}{_most(self.quarantined_services.get(why, {}))}"
            for why, n in self.quarantined_by_reason.items()
        ]
        errors = [f"  error   {check.tell()}" for check in self.errors]
        warnings = [f"  warning {check.tell()}" for check in self.warnings]
        return "\n".join([head, *reasons, *errors, *warnings])

    def raise_on_error(self, where: Path | None = None) -> None:
        """Raise if a check of severity error failed.

        Parameters
        ----------
        where : pathlib.Path, optional
            The written report, named in the message.

        Raises
        ------
        DataQualityError
            Names the first failing check in full, the others by title, and the report.
        """
        if not self.errors:
            return
        first, *others = self.errors
        also = f" (also failing: {', '.join(c.title for c in others)})" if others else ""
        report = f"; the report is {where}" if where else ""
        raise DataQualityError(
            f"telemetry quality, check {first.title}",
            seen=f"{show(first.observed)}{also}",
            allowed=first.allowed,
            fix=f"{first.fix}{report}",
        )


def _most(services: Mapping[str, int]) -> str:
    told = ", ".join(f"{name!r}: {n:,}" for name, n in services.items())
    return f" (most of {told})" if told else ""


def show(value: Observed) -> str:
    """Return an observed value as text: whole numbers in full, others to four digits."""
    if value is None:
        return "nothing observed"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"
