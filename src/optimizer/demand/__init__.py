"""What each service used, in cores and GiB: history, censoring, cutoffs, bounds of requests."""

from optimizer.demand.bounds import RequestBounds
from optimizer.demand.cutoffs import aligned_cutoffs
from optimizer.demand.from_panel import usage_of
from optimizer.demand.usage import CPU, MEMORY, Usage

__all__ = ["CPU", "MEMORY", "RequestBounds", "Usage", "aligned_cutoffs", "usage_of"]
