"""Cloud workload optimizer: telemetry to forecasts, rare-event warnings and priced right-sizing.

Rooms follow the data, and a room imports only rooms above it: ``core``, ``sources``, ``quality``,
``features``, ``demand``, ``targets``, ``models``, ``evaluation``, ``training``, ``decisions``,
``delivery``. Prefect is left to ``flows``.
"""
