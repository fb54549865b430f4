"""Gradient-boosted trees for events and quantiles: LightGBM, XGBoost, CatBoost."""
