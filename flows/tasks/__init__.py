"""The steps of every flow as Prefect tasks: thin wrappers that hand references to each other."""
