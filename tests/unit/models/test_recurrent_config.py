"""Constructors of the recurrent models: cheap, equal to their yaml, and strict about ranges."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from optimizer.core.errors import ConfigError
from optimizer.models.recurrent.base import RecurrentModel
from optimizer.models.recurrent.gru import GRU
from optimizer.models.recurrent.lstm import LSTM

CONF = Path(__file__).resolve().parents[3] / "conf/model"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("window", "-1h"),
        ("window", "soon"),
        ("max_steps", 1),
        ("hidden_size", 0),
        ("hidden_size", 8.5),
        ("dropout", 1.0),
        ("learning_rate", 0.0),
        ("weight_decay", -1.0),
        ("batch_size", 0),
        ("max_epochs", 0),
        ("patience", 0),
        ("max_resample_rows", 9),
        ("precision", "half"),
    ],
)
@pytest.mark.parametrize("cls", [LSTM, GRU])
def test_value_out_of_range_is_refused_by_key(
    cls: type[RecurrentModel], key: str, value: object
) -> None:
    with pytest.raises(ConfigError) as error:
        cls(**{key: value})  # type: ignore[arg-type]
    assert error.value.offender == f"model.{key}"


@pytest.mark.parametrize(("name", "cls"), [("lstm", LSTM), ("gru", GRU)])
def test_yaml_names_every_argument_with_its_default(name: str, cls: type[RecurrentModel]) -> None:
    values = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    assert values.pop("_target_") == f"{cls.__module__}.{cls.__qualname__}"
    assert values == {f.name: f.default for f in fields(cls) if f.init}
    cls(**values)


def test_constructing_a_model_imports_no_heavy_library() -> None:
    code = (
        "import sys; from optimizer.models.recurrent.lstm import LSTM; LSTM(); "
        "print([m for m in ('torch', 'pytorch_lightning', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
