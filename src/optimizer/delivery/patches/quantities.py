"""Quantities as Kubernetes writes them: whole units, rounded up."""

from __future__ import annotations

from math import ceil

from optimizer.delivery.patches.settings import PatchSettings

# Recommendations are computed in float32: 1.2 cores come as 1.2000000477 and are still 1200m.
TOLERANCE = 1e-6


def whole_units(value: float, per_unit: float) -> int:
    """Return a value in smaller units, rounded up; 0 stays 0.

    Parameters
    ----------
    value : float
        Cores or GiB, at least 0.
    per_unit : float
        Smaller units per core or GiB.
    """
    return ceil(value * per_unit * (1.0 - TOLERANCE))


def quantity(resource: str, value: float, settings: PatchSettings, ratio: float = 1.0) -> str:
    """Return cores or GiB as a quantity, for example ``"1500m"`` or ``"512Mi"``.

    Parameters
    ----------
    resource : str
        ``"cpu"`` (value in cores) or ``"memory"`` (value in GiB).
    value : float
        At least 0; rounded up to whole units, so that no request is below its recommendation.
    settings : PatchSettings
        The units.
    ratio : float
        Limit ÷ request, at least 1: with 1 the limit is the request to the letter.

    References
    ----------
    Kubernetes API reference, "Quantity".
    """
    suffix, per_unit = settings.units[resource]
    return f"{whole_units(whole_units(value, per_unit) * ratio, 1.0)}{suffix}"
