"""The values that a search may give one key: numbers of a range, or named choices."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import yaml

from optimizer.core.errors import ConfigError

GRAMMAR = "interval(a, b), int(interval(a, b)), range(a, b, step), choice(x, y), tag(log, ...)"


@dataclass(frozen=True)
class Domain:
    """The values of one key.

    - ``key``: key of the override, for example ``model.learning_rate``.
    - ``case``: the choice under which alone the key exists, for example ``lightgbm``; empty for
      always.
    - ``choices``: values as they stand on the command line; empty for a range.
    - ``low``, ``high``: ends of a range, both included; integers make an integer range.
    - ``step``: distance of the values of a range; None for all numbers (or all integers).
    - ``log``: numbers are drawn evenly on a logarithmic scale.
    """

    key: str
    case: str = ""
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False

    @property
    def name(self) -> str:
        """Its name within the study: one key may have one range per choice."""
        return f"{self.key} ({self.case})" if self.case else self.key

    @property
    def integer(self) -> bool:
        """Whether the values are whole numbers."""
        return not self.choices and isinstance(self.low, int)

    @property
    def distribution(self) -> Any:
        """The same as a distribution of Optuna."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        if self.integer:
            return IntDistribution(int(self.low), int(self.high), self.log, int(self.step or 1))
        return FloatDistribution(self.low, self.high, self.log, self.step)

    def read(self, text: str) -> str | int | float | None:
        """Return a value of the configuration as one of this domain, None if it is of no use.

        A number outside the range is kept: what exists may lie where nobody searches.
        """
        if self.choices:
            meant = _meaning(text)
            return next((one for one in self.choices if _meaning(one) == meant), None)
        try:
            number = int(text) if self.integer else float(text)
        except ValueError:
            return None
        return number if math.isfinite(number) and not (self.log and number <= 0) else None

    def ends(self) -> tuple[str, str]:
        """Return two values to try the key with, as they stand on the command line."""
        if self.choices:
            return self.choices[0], self.choices[-1]
        return str(self.low), str(self.high)


def interval_domain(
    key: str, offender: str, ends: tuple[float, float], tags: Collection[str]
) -> Domain:
    """Return the domain of ``interval(a, b)``, both ends included.

    Raises ConfigError: the interval is upside down or empty, or logarithmic and reaches 0.
    """
    low, high = ends
    if math.inf in (-low, high):
        raise bad_domain(offender, f"{low:g} to {high:g}", "an end at infinity")
    if not low < high:
        raise ConfigError(
            offender,
            seen=f"{low:g} to {high:g}",
            allowed="a low end below the high end",
            fix=f"write interval({high:g}, {low:g})" if low > high else "give the value itself",
        )
    return Domain(key, low=low, high=high, log=_is_log(offender, low, tags))


def range_domain(
    key: str, offender: str, ends: tuple[float, float, float], tags: Collection[str]
) -> Domain:
    """Return the domain of ``range(a, b, step)``, b excluded as everywhere in Hydra.

    Raises ConfigError: the range holds no value, or is logarithmic and not over all integers.
    """
    start, stop, step = ends
    count = math.ceil(round((stop - start) / step, 9)) if step > 0 else 0
    if count < 1:
        raise ConfigError(
            offender,
            seen=f"{start:g} to {stop:g} by {step:g}",
            allowed="a start below the stop and a step above 0",
            fix="swap the ends, or give the value itself",
        )
    if not isinstance(step, int):
        start = float(start)
    log = _is_log(offender, start, tags)
    if log and not (isinstance(start, int) and step == 1):
        raise bad_domain(offender, "log", "a logarithmic range has no step")
    return Domain(key, low=start, high=start + (count - 1) * step, step=step, log=log)


def bad_domain(offender: str, seen: str, reason: str) -> ConfigError:
    """Return the error of a text that names no values."""
    return ConfigError(
        offender, seen=f"{seen!r} ({reason})", allowed=GRAMMAR, fix="correct the text"
    )


def _is_log(offender: str, low: float, tags: Collection[str]) -> bool:
    """Return whether the scale is logarithmic, the only tag that is known."""
    unknown = sorted(set(tags) - {"log"})
    if unknown:
        raise bad_domain(offender, ", ".join(unknown), "an unknown tag")
    if "log" in tags and low <= 0:
        raise ConfigError(
            offender,
            seen=f"a logarithmic scale from {low:g}",
            allowed="a low end above 0",
            fix="raise the low end, or drop tag(log, ...)",
        )
    return bool(tags)


def _meaning(text: str) -> Any:
    """Return what a choice stands for: True is true, 10.0 is 10, ['a', 'b'] is [a,b]."""
    try:
        found = yaml.safe_load("null" if text == "None" else text.replace("\\", ""))
    except yaml.YAMLError:
        found = text
    return found.lower() if isinstance(found, str) else found
