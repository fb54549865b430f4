"""Saved models: what goes into their files, and everything that is refused when they are read."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from bundles import MODELS, PANEL, TABLE, again, model_of, train
from factories import event_task, tiny_folds
from usages import at, fleet

from optimizer.core import state as codec
from optimizer.core.artifacts import hash_values
from optimizer.core.errors import StateError, TrackingError
from optimizer.core.state import Stateful, decode, encode, find_class
from optimizer.features.groups.lags import Lags
from optimizer.features.groups.workload import Workload
from optimizer.models.exceedance.fitted import TrainedSurface, build_intervals, fit_surface
from optimizer.models.exceedance.lightgbm import ExceedanceLightGBM
from optimizer.models.exceedance.rolling import RollingSurface
from optimizer.targets.task import EventTask
from optimizer.training.predictor import TrainedModel
from optimizer.training.tracking import registry
from optimizer.training.tracking.bundle import STATE, bundle_size, read_bundle, write_bundle
from optimizer.training.tracking.mlflow_run import track_run

EVENT = event_task(PANEL)
FOLDS = tiny_folds(EVENT, PANEL, TABLE)
LIGHTGBM = next(path for path in MODELS if path.stem == "lightgbm")
STOP = 12 * 24


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return replace(train(model_of(LIGHTGBM), EVENT, FOLDS), groups=(Workload(), Lags(3)))


@pytest.fixture(scope="module")
def surface() -> TrainedSurface:
    usage = fleet(8, 20)
    learner = ExceedanceLightGBM(rounds=20, min_child_samples=20, num_leaves=7)
    settings = RollingSurface(model=learner, seed=3, threads=1)
    return fit_surface(build_intervals(usage, settings, STOP), settings)


@pytest.fixture
def bundle(trained: TrainedModel, tmp_path: Path) -> Path:
    write_bundle(trained, tmp_path / "bundle")
    return tmp_path / "bundle"


@dataclass(frozen=True)
class Own:
    """A dataclass of an extension, which is not Stateful."""

    size: int = 1


class Mean(Stateful):
    """What an extension's model looks like."""

    fitted_attributes: ClassVar[tuple[str, ...]] = ("_mean", "extra_")

    def __init__(self, shrink: float = 0.5, *, inner: Any = None) -> None:
        self._shrink = shrink
        self.inner = inner

    def fit(self, values: np.ndarray) -> Mean:
        self._mean, self.extra_ = values.mean() * self._shrink, values
        return self


class Forgetful(Stateful):
    """Does not keep its argument."""

    def __init__(self, size: int) -> None:
        self.length = size


def alter(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what a bundle says of itself, its hash included, as its author could."""
    state = json.loads((directory / STATE).read_text())
    change(state)
    state["sha256"] = hash_values(state["model"])
    (directory / STATE).write_text(json.dumps(state))


VALUES: list[Any] = [
    None, True, 0, -(2**70), 0.1, float("inf"), "é\n", b"\x00\xff", [1, [2]], (1, (2.5, None)),
    {"a b": {"class": "os.system"}, "tuple": [1]}, {}, (), np.float32(0.1), np.float64(1 / 3),
    np.int64(2**53 + 1), np.bool_(False), np.datetime64("2025-01-02T03:04:05.000006", "us"),
    np.timedelta64(-7, "s"), pd.Timedelta("1h"), pd.Timedelta(5, "us").as_unit("us"),
    EventTask("cpu_utilization", 0.8, pd.Timedelta("3h"), 3),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_equal_and_of_their_type(value: Any) -> None:
    tree, blobs = encode(value)
    found = decode(json.loads(json.dumps(tree, allow_nan=False)), blobs)
    assert found == value
    assert type(found) is type(value)
    if isinstance(value, pd.Timedelta):
        assert found.unit == value.unit


@pytest.mark.parametrize(
    "value", [float("nan"), np.float32("nan"), np.datetime64("NaT", "us"), np.timedelta64("NaT")]
)
def test_missing_values_come_back_missing(value: Any) -> None:
    found = decode(*encode(value))
    assert type(found) is type(value)
    assert pd.isna(found)


@pytest.mark.parametrize(
    "array",
    [
        np.float32([[1, np.nan], [-0.0, np.inf]]), np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(["2025-01-01", "NaT"], "datetime64[us]"), np.array(["a", "bcd"]),
        np.zeros((0, 3), np.int16), np.array(1.5), np.array([True, False]),
    ],
)  # fmt: skip
def test_arrays_come_back_bit_by_bit(array: np.ndarray) -> None:
    found = decode(*encode({"x": [array]}))["x"][0]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()
    assert found.flags.f_contiguous == array.flags.f_contiguous


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"f": [len]}, r"model\.f\[0\]: got builtin_function_or_method"),
        ({1: 2}, "a dict with the key 1"),
        (np.array([None]), "an array of Python objects"),
        (Own(), "got Own"),
        (Path(), "got PosixPath"),
        (Forgetful(3), "no attribute size"),
    ],
)
def test_what_has_no_plain_form_is_refused_by_its_place(value: Any, told: str) -> None:
    with pytest.raises(StateError, match=told):
        encode(value)


def test_an_extensions_class_comes_back_with_what_it_learned() -> None:
    inner = Mean(0.25, inner=(Mean(),)).fit(np.arange(3.0))
    found = decode(*encode(Mean(inner=inner)))
    assert type(found) is Mean
    assert not hasattr(found, "extra_")  # it was not fitted
    assert (found.inner._shrink, found.inner._mean) == (0.25, 0.25)
    np.testing.assert_array_equal(found.inner.extra_, np.arange(3.0))
    assert type(found.inner.inner[0]) is Mean


def test_a_class_that_has_moved_is_found_by_its_old_place(monkeypatch: pytest.MonkeyPatch) -> None:
    tree, blobs = encode(Mean(0.25).fit(np.arange(3.0)))
    tree["class"] = "optimizer.models.of_old.Average"
    with pytest.raises(StateError, match=r"class optimizer\.models\.of_old\.Average"):
        decode(tree, blobs)
    monkeypatch.setitem(codec.RENAMED, tree["class"], f"{__name__}.Mean")
    assert decode(tree, blobs)._mean == 0.25


@pytest.mark.parametrize(
    "path",
    [
        "os.system", "builtins.eval", "subprocess.Popen", "pathlib.Path", "eval", "", ".x.Y",
        "numpy.random.RandomState", "torch.Generator", "pickle.Unpickler", "no_such_module.Model",
        "optimizer.core.artifacts.hash_file", "optimizer.core.artifacts.Path",
        "optimizer.core.state.importlib", "pip.__main__.Model", "__main__.Model",
        "optimizer.training.no_such.Model", f"{__name__}.Own",
        "optimizer.models.recurrent.base.logger", "optimizer.core.errors.StateError",
    ],
)  # fmt: skip
def test_a_class_from_elsewhere_is_refused(path: str, bundle: Path) -> None:
    with pytest.raises(StateError, match=r"no class that a saved model may name") as caught:
        find_class(path)
    assert caught.value.offender == f"class {path}"
    alter(bundle, lambda state: state["model"]["settings"]["model"].update({"class": path}))
    with pytest.raises(StateError, match="no class that a saved model may name"):
        read_bundle(bundle)


def test_a_refused_class_is_not_called(bundle: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    node = {"class": "os.mkdir", "settings": {"path": str(made)}}
    alter(bundle, lambda state: state["model"]["settings"].update(name=node))
    with pytest.raises(StateError, match=r"os\.mkdir"):
        read_bundle(bundle)
    assert not made.exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda model: model["settings"].update(nonsense=1), "nonsense"),
        (lambda model: model["settings"]["model"]["settings"].update(rounds=0), "model.rounds"),
        (lambda model: model["settings"]["model"]["state"].update(of_old=1), "'of_old'"),
        (lambda model: model["settings"]["model"]["state"].pop("fitted"), "fitted"),
        (lambda model: model.update(settings={"name": {"what": 1}}), "KeyError"),
        (lambda model: model["settings"].update(step={"array": "99"}), "KeyError"),
    ],
)
def test_values_that_the_code_no_longer_takes_are_told(
    change: Callable[[dict[str, Any]], None], told: str, bundle: Path
) -> None:
    alter(bundle, lambda state: change(state["model"]))
    with pytest.raises(StateError, match=told):
        read_bundle(bundle)


def test_settings_that_came_later_take_their_defaults(bundle: Path, trained: TrainedModel) -> None:
    alter(bundle, lambda s: s["model"]["settings"]["model"]["settings"].pop("lambda_l2"))
    found: Any = read_bundle(bundle)
    assert found.model.lambda_l2 == 10.0
    np.testing.assert_array_equal(found.predict(FOLDS.test), trained.predict(FOLDS.test))


def test_bundle_is_small_and_holds_neither_pickle_nor_code(
    bundle: Path, trained: TrainedModel
) -> None:
    files = list(bundle.iterdir())
    size = sum(file.stat().st_size for file in files)
    assert size < 5e6
    assert 0.5 * size < bundle_size(trained) <= size
    assert not [file for file in files if file.suffix in {".pkl", ".py"}]
    state = json.loads((bundle / STATE).read_text())
    assert (state["format"], state["kind"]) == (1, "rows")
    assert b"tree\nversion=" in (bundle / "blob_0.bin").read_bytes()


@pytest.mark.parametrize("name", ["blob_0.bin", "arrays.npz", STATE])
def test_one_flipped_byte_is_refused(name: str, bundle: Path) -> None:
    data = bytearray((bundle / name).read_bytes())
    place = data.index(b'"threshold": 0.25') + 15 if name == STATE else len(data) // 2
    data[place] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(StateError, match=rf"{name} with another SHA-256"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": 2}, "got format 2. Allowed: format 1"),
        ({"format": None}, "got format None"),
        ({"kind": "fleet"}, "kind rows or surface"),
        ({"kind": "surface"}, "got a TrainedModel"),
        ({"blobs": {"../outside": "0"}}, "no file ../outside"),
        ({"blobs": {"gone.bin": "0"}}, "no file gone.bin"),
        ({"blobs": {}}, "KeyError: 'arrays.npz'"),
    ],
)
def test_an_unknown_form_is_refused(change: dict[str, Any], told: str, bundle: Path) -> None:
    alter(bundle, lambda state: state.update(change))
    with pytest.raises(StateError) as caught:
        read_bundle(bundle)
    assert told in str(caught.value)


def test_pickled_arrays_are_refused(bundle: Path) -> None:
    np.savez(bundle / "arrays.npz", **{"0": np.array([{}], dtype=object)})
    data = (bundle / "arrays.npz").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    alter(bundle, lambda state: state["blobs"].update({"arrays.npz": digest}))
    with pytest.raises(StateError, match="allow_pickle=False"):
        read_bundle(bundle)


def test_surface_comes_back_bit_by_bit(surface: TrainedSurface, tmp_path: Path) -> None:
    usage = fleet(8, 20)
    found = again(surface, tmp_path / "bundle")
    assert isinstance(found, TrainedSurface)
    for cutoff in (STOP, STOP + 48):  # the second is recalibrated
        one, two = (model.answer(usage, at(cutoff)) for model in (surface, found))
        np.testing.assert_array_equal(one.raw.exceedance, two.raw.exceedance)
        np.testing.assert_array_equal(one.raw.levels, two.raw.levels)
        np.testing.assert_array_equal(one.factors, two.factors)
    assert (two.factors[-1] != 1.0).any()
    assert (found.fitted_until, found.step) == (surface.fitted_until, surface.step)
    state = json.loads((tmp_path / "bundle" / STATE).read_text())
    assert state["kind"] == "surface"


class Registry:
    """A registry in a directory."""

    def __init__(self, home: Path) -> None:
        self.uri = f"sqlite:///{home}/mlflow.db"

    def enter(self, trained: Any, name: str) -> registry.Version:
        with track_run(self.uri, "tests", "run") as run:
            logged = registry.log_model(run, trained)
            return registry.register(run, logged, name, {"feature_version": "x"})

    def files(self, version: registry.Version) -> Path:
        """Return where a version's files lie."""
        import mlflow

        uri = f"models:/{version.name}/{version.version}"
        return Path(mlflow.artifacts.download_artifacts(uri))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def version(store: Registry, trained: TrainedModel) -> registry.Version:
    return store.enter(trained, "scale_event-synthetic")


def test_registered_model_is_loaded_without_mlflows_loader(
    version: registry.Version,
    store: Registry,
    trained: TrainedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import mlflow

    monkeypatch.setattr(mlflow.pyfunc, "load_model", None)
    files = store.files(version)
    assert not [p for p in files.rglob("*") if p.suffix in {".pkl", ".py"} or p.name == "code"]
    assert sum(p.stat().st_size for p in files.rglob("*") if p.is_file()) < 5e6
    found: Any = registry.load_trained(version)
    np.testing.assert_array_equal(found.predict(FOLDS.test), trained.predict(FOLDS.test))
    assert found.groups == trained.groups


def test_mlflow_serves_a_surface_from_the_same_bundle(
    store: Registry, surface: TrainedSurface
) -> None:
    import mlflow

    version = store.enter(surface, "exceedance-synthetic")
    usage = fleet(8, 20)
    frame = pd.DataFrame(
        {
            "service_id": np.repeat(usage.services, usage.n_steps),
            "cluster_id": "c",
            "event_timestamp": np.tile(usage.timestamps, len(usage.services)),
            "cpu_utilization": (usage.values / usage.capacity[:, None]).ravel().astype(float),
        }
    )
    served = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}").predict(frame)
    own = surface.predict_telemetry(
        frame.assign(event_timestamp=frame["event_timestamp"].dt.tz_localize("UTC"))
        .astype({"cpu_utilization": "float32"})
    )  # fmt: skip
    assert list(served) == ["service_id", "event_timestamp", "resource", "level", "exceedance"]
    np.testing.assert_array_equal(served["exceedance"], own["exceedance"])


def test_a_pickled_model_of_old_is_refused_and_not_opened(
    store: Registry, trained: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = store.enter(trained, "scale_event-nab")
    files = store.files(version)
    shutil.rmtree(files / "data")
    (files / "artifacts").mkdir()
    for name in ("python_model.pkl", "artifacts/trained_model.pkl"):
        (files / name).write_bytes(b"no pickle")
    monkeypatch.setattr("pickle.load", None)
    with pytest.raises(TrackingError) as caught:
        registry.load_trained(version)
    error = caught.value
    assert type(error) is registry.UnreadableModelError
    assert error.offender == "registry models:/scale_event-nab/1"
    assert "python_model.pkl" in str(error.seen)
    assert "format 1" in error.allowed
    assert "train again: python flows/train.py target=scale_event" in error.fix


@pytest.mark.parametrize(
    ("change", "told"), [({"format": 9}, "format 9"), ({"kind": "x"}, "kind x")]
)
def test_a_registered_model_of_another_format_is_refused_by_name(
    change: dict[str, Any], told: str, store: Registry, trained: TrainedModel
) -> None:
    version = store.enter(trained, "utilization-synthetic")
    alter(store.files(version) / "data/bundle", lambda state: state.update(change))
    with pytest.raises(TrackingError, match=r"models:/utilization-synthetic/\d") as caught:
        registry.load_trained(version)
    assert told in str(caught.value.seen)
    assert "flows/train.py target=utilization" in caught.value.fix


def test_a_champion_that_cannot_be_read_keeps_no_successor_out(
    store: Registry, trained: TrainedModel, caplog: pytest.LogCaptureFixture
) -> None:
    name = "scale_event-planetlab"
    version = store.enter(trained, name)
    with track_run(store.uri, "tests", "next") as run:
        assert registry.load_reference(run, name) is None
        registry.set_champion(run, version)
        assert isinstance(registry.load_reference(run, name), TrainedModel)
        assert not caplog.records
        alter(store.files(version) / "data/bundle", lambda state: state.update(format=0))
        assert registry.load_reference(run, name) is None
    assert "format 0" in caplog.text
    assert "judged as the first of its name" in caplog.text


def test_a_version_that_is_gone_is_one_clear_error(store: Registry) -> None:
    with pytest.raises(TrackingError, match=r"models:/gone/1.*train\.py target=gone"):
        registry.load_trained(registry.Version("gone", "1", "run"))
