"""What cores and GiB cost, and what changed requests save."""

from optimizer.decisions.pricing.catalogue import PriceCatalogue

__all__ = ["PriceCatalogue"]
