"""Rules of one formula, after their upstream definitions."""
