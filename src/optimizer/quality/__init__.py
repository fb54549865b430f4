"""Great-expectations guards over telemetry."""
