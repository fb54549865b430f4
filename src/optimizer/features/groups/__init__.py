"""Feature groups: one class and one yaml each."""
