"""The only place that touches disk stores and MLflow."""
