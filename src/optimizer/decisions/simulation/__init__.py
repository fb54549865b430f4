"""Requests applied round after round, with what they hide from the next round."""
