"""Models and baselines behind two protocols."""
