"""Hyperparameter search: spaces, studies, trials on validation folds, pictures."""
