"""How many nodes requests take: packing, its bounds, the exact solver."""
