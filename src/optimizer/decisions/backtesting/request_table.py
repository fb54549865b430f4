"""Every request of a replay as a table: one row per policy, setting, service and cutoff."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.schema import SERVICE
from optimizer.decisions.backtesting.tables import PolicyReplay
from optimizer.demand.usage import Usage
from optimizer.models.conformal.predictive import PredictiveDistribution


def frame_requests(
    found: Mapping[str, PolicyReplay],
    usage: Usage,
    cutoffs: NDArray[np.int64],
    outlook: PredictiveDistribution,
) -> Iterator[pd.DataFrame]:
    """Yield every request, a policy at a time: together they may be millions of rows.

    ``policy``, ``knob`` (the setting, as text), ``service_id``, ``cutoff`` (the moment up to which
    usage was known), ``valid_until`` (the next cutoff), ``resource``, ``target`` in cores or GiB,
    ``lower_bound`` and ``upper_bound`` (P5 and P95 of the interval's peak, the same for all
    policies) and ``risk``: the calibrated probability that a step uses more than the target. Bounds
    and risk are NaN where nothing is known.

    - ``usage``: names the services and the clock.
    - ``cutoffs``: int64, ascending.
    - ``outlook``: at the cutoffs.
    """
    known = usage.timestamps[cutoffs - 1]
    length = np.diff(known)[-1:] if len(known) > 1 else np.array([usage.step.to_timedelta64()])
    until = np.append(known[1:], known[-1:] + length)
    n_services = usage.n_services
    lower, upper = outlook.bounds()
    keys: dict[str, Any] = {
        SERVICE: pd.Categorical(np.tile(np.asarray(usage.services, dtype=object), len(cutoffs))),
        "cutoff": pd.DatetimeIndex(np.repeat(known, n_services), tz="UTC"),
        "valid_until": pd.DatetimeIndex(np.repeat(until, n_services), tz="UTC"),
        "resource": pd.Categorical.from_codes(
            np.zeros(lower.size, np.int8), pd.Index([usage.resource])
        ),
    }
    for name, one in found.items():
        size, number = lower.size, len(one.knobs)
        rows, setting = np.tile(np.arange(size), number), np.repeat(np.arange(number), size)
        policies = pd.Categorical.from_codes(np.zeros(len(rows), np.int8), pd.Index([name]))
        knobs = pd.Categorical.from_codes(setting, pd.Index(one.knobs))
        yield pd.DataFrame(
            {
                "policy": policies,
                "knob": knobs,
                **{key: values.take(rows) for key, values in keys.items()},
                "target": one.requests.ravel(),
                "lower_bound": lower.ravel()[rows],
                "upper_bound": upper.ravel()[rows],
                "risk": np.concatenate([outlook.risk(asked).ravel() for asked in one.requests]),
            }
        )


def write_requests(frames: Iterator[pd.DataFrame], path: Path) -> None:
    """Write the parts of one table to a Parquet file, which appears once it is whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    draft = path.with_suffix(".draft")
    first = next(frames)
    schema = pa.Schema.from_pandas(first, preserve_index=False)
    for i, field in enumerate(schema):
        if pa.types.is_dictionary(field.type):  # a later policy may have more settings
            wide = pa.dictionary(pa.int32(), field.type.value_type)
            schema = schema.set(i, field.with_type(wide))
    try:
        with pq.ParquetWriter(draft, schema) as writer:
            for frame in chain([first], frames):
                writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
