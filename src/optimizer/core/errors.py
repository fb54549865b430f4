"""Every error a user can cause, so that one place decides how it reads.

::

    OptimizerError
    ├── ConfigError               a choice, key or value of the configuration
    ├── SourceError               a file or directory that cannot be read
    ├── SchemaError               a column that is missing or of the wrong type
    ├── DataQualityError          telemetry that broke its expectations
    ├── InsufficientHistoryError  too little time for the features, folds or labels
    ├── TargetError               labels that cannot be learned (one class only)
    ├── TrackingError             MLflow's store or registry cannot be used
    ├── StateError                a saved model that cannot be written, or read again
    └── StoreError                the feature store cannot be reached, or is not what it should be
"""

from __future__ import annotations


class OptimizerError(Exception):
    """A failure told in four parts: offender, value seen, what is allowed and the fix.

    Parameters
    ----------
    offender : str
        The key, column, file or component at fault, for example ``"data.path"``.
    seen : object
        The value observed.
    allowed : str
        What would have been accepted.
    fix : str
        The next thing the user should do.
    """

    def __init__(self, offender: str, *, seen: object, allowed: str, fix: str) -> None:
        self.offender = offender
        self.seen = seen
        self.allowed = allowed
        self.fix = fix
        super().__init__(f"{offender}: got {seen}. Allowed: {allowed}. Fix: {fix}.")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by keyword, so that the error survives worker processes."""
        return _rebuild, (type(self), self.offender, self.seen, self.allowed, self.fix)


def _rebuild(
    cls: type[OptimizerError], offender: str, seen: object, allowed: str, fix: str
) -> OptimizerError:
    return cls(offender, seen=seen, allowed=allowed, fix=fix)


class ConfigError(OptimizerError):
    """A choice, key or value of the configuration is wrong or impossible."""


class SourceError(OptimizerError):
    """A telemetry file or directory is missing, empty or unreadable."""


class SchemaError(OptimizerError):
    """A column is missing or holds the wrong type."""


class DataQualityError(OptimizerError):
    """Telemetry broke an expectation of severity error."""


class InsufficientHistoryError(OptimizerError):
    """The telemetry is too short for the features, folds or labels asked for."""


class TargetError(OptimizerError):
    """The labels of a fold cannot be learned from."""


class TrackingError(OptimizerError):
    """The tracking store or model registry cannot be reached or refuses."""


class StateError(OptimizerError):
    """A fitted object cannot be written as plain values, or not be read from them."""


class StoreError(OptimizerError):
    """The feature store cannot be reached, or does not hold what it should."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, in short; the name of its kind if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def format_error(error: BaseException) -> str:
    """Return what an error says in one line, with its kind unless it is one of ours."""
    told = first_line(error)
    return told if isinstance(error, OptimizerError) else f"{type(error).__name__}: {told}"
