"""Hydra's plugins of this project; Hydra finds them by the package's name."""
