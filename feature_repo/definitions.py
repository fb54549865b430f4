"""What ``feast apply`` registers: derived from the feature groups, nothing is typed here.

Feast's own commands work in this directory: ``feast apply``, ``feast materialize``, ``feast ui``.
They read ``feature_store.yaml``, or the file that FEAST_FS_YAML_FILE_PATH names.
"""

from __future__ import annotations

import os
from pathlib import Path

from optimizer.features.store.repository import define_repository

HERE = Path(__file__).resolve().parent
CHOSEN = os.environ.get("FEAST_FS_YAML_FILE_PATH", "feature_store.yaml")

globals().update(define_repository(HERE / Path(CHOSEN).name))
