"""Hydra's grammar of overrides: sweeps as domains of a search, values as plain values.

With :mod:`optimizer.core.config` the only module of the package that knows Hydra.
"""

from __future__ import annotations

from typing import Any

from optimizer.training.tuning.domains import Domain, bad_domain, interval_domain, range_domain


def parse_sweep(key: str, text: str, home: str = "") -> Domain:
    """Return the values that a text of Hydra's sweep grammar stands for.

    ``text``: ``interval(a, b)``, ``int(interval(a, b))``, ``range(a, b, step)`` (b excluded),
    ``choice(x, y)`` or ``tag(log, ...)`` of the numeric ones. Raises ConfigError: no such text, or
    a range without a value.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    offender = f"{home or key}={text}"
    try:
        override = OverridesParser.create().parse_override(f"{key}={text}")
        swept: Any = override.value()
    except HydraException as error:
        raise bad_domain(offender, text, str(error).splitlines()[0]) from error
    kind = type(swept).__name__
    if kind == "ChoiceSweep":
        return Domain(key, choices=tuple(map(str, override.sweep_string_iterator())))
    if kind == "RangeSweep":
        return range_domain(key, offender, (swept.start, swept.stop, swept.step), swept.tags)
    if kind == "IntervalSweep":
        return interval_domain(key, offender, (swept.start, swept.end), swept.tags)
    raise bad_domain(offender, text, "no sweep")


def parse_value(override: str) -> tuple[str, Any]:
    """Return key and value of an override as plain values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    parsed = OverridesParser.create().parse_override(override)
    key = parsed.get_key_element().lstrip("+~")
    node = OmegaConf.create({"value": parsed.value()})
    plain: Any = OmegaConf.to_container(node, resolve=False)
    return key, plain["value"]


def is_sweep(override: str) -> bool:
    """Tell whether an override stands for several values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return bool(OverridesParser.create().parse_override(override).is_sweep_override())
    except HydraException:
        return False
