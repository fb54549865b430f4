"""Defaults of the process that must stand before Prefect and OpenMP are imported."""

from __future__ import annotations

import os

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads starve each other
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")  # a sweep's tasks
os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "error")  # not every connection

NO_PAGES = "OPTIMIZER_SERVER_WITHOUT_PAGES"
"""Set where the Prefect server at hand has nothing to look at; jobs in other processes read it."""
