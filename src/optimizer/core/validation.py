"""One way for constructors to refuse a value outside its range."""

from __future__ import annotations

from collections.abc import Collection
from math import inf
from typing import TypeVar

from optimizer.core.errors import ConfigError

Number = TypeVar("Number", bound=float)


def require_between(
    key: str,
    value: Number,
    low: float,
    high: float = inf,
    *,
    fix: float,
    open_low: bool = False,
    open_high: bool = False,
) -> Number:
    """Return the value, if it lies in the range.

    ``key``: configuration key, for example ``"model.learning_rate"``. Raises ConfigError: the value
    is not a number in the range.
    """
    known = isinstance(value, int | float) and not isinstance(value, bool)
    above = known and (value > low if open_low else value >= low)
    below = known and (value < high if open_high or high == inf else value <= high)
    if not (above and below):
        ends = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
        at_least = f"{'above' if open_low else 'at least'} {low:g}"
        raise ConfigError(
            key,
            seen=repr(value),
            allowed=at_least if high == inf else f"a number in {ends}",
            fix=f"set {key}={fix:g}",
        )
    return value


def require_count(key: str, value: int, low: int, *, fix: int) -> int:
    """Return the value; a ConfigError unless it is a whole number of at least ``low``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ConfigError(
            key,
            seen=repr(value),
            allowed=f"a whole number of at least {low}",
            fix=f"set {key}={fix}",
        )
    return value


def require_choice(key: str, value: str, choices: Collection[str]) -> str:
    """Return the value; a ConfigError unless it is one of the choices."""
    if value not in choices:
        raise ConfigError(
            key,
            seen=repr(value),
            allowed=", ".join(choices),
            fix=f"set {key}={next(iter(choices))}",
        )
    return value
