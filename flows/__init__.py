"""Prefect flows and the commands that start them; what they compute is in the library."""
