"""How numbers are put into words, the same everywhere."""

from __future__ import annotations


def tell_percent(share: float) -> str:
    """Return a share in [0, 1] as a percentage of two digits; 1 is ``100 %``, not ``1e+02 %``."""
    return f"{100 * share:.0f} %" if share > 0.99 else f"{100 * share:.2g} %"
