"""Fitted objects as plain values: a form that holds no code and outlives the code that wrote it.

An object is written as the dotted path of its class, the arguments of its constructor and what
it learned. Reading builds it by its constructor, as the configuration does, and hands it what it
learned; so a class may change inside as long as it takes these. Numbers, texts and small
containers are JSON; arrays and a library's own model files are blobs beside it.
"""

from __future__ import annotations

import importlib
import inspect
import io
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.errors import OptimizerError, StateError, first_line

RENAMED: dict[str, str] = {}
"""Dotted paths of classes that have moved since models were saved: old path to new path."""
ARRAYS = "arrays.npz"
"""Name of the blob that holds every array."""
VALUES = (
    "None, bool, int, float, str, bytes, list, tuple, dict with str keys, numpy arrays and "
    "scalars, pandas.Timedelta, frozen dataclasses of optimizer, and Stateful objects"
)


class Stateful:
    """A class whose fitted instances can be saved: what a model, calibrator or group inherits.

    The constructor keeps each argument under its own name, with or without an underscore before
    it. What a fit learns is named in ``fitted_attributes``, to which base classes add theirs. A
    class whose attributes are no plain values, such as a library's model, overrides both methods.
    """

    fitted_attributes: ClassVar[tuple[str, ...]] = ()

    def get_state(self) -> dict[str, Any]:
        """Return what was learned, by name without underscores at its ends."""
        names = self._fitted_names()
        return {key: getattr(self, name) for key, name in names.items() if hasattr(self, name)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take what was learned before; what is not given stays as the constructor left it.

        Raises
        ------
        StateError
            The class learns nothing of that name.
        """
        names = self._fitted_names()
        for key, value in state.items():
            if key not in names:
                raise StateError(
                    path_of(type(self)),
                    seen=f"a fitted attribute {key!r}",
                    allowed=", ".join(names) or "no fitted attribute",
                    fix="let its set_state translate the old name, or train again",
                )
            setattr(self, names[key], value)

    def _fitted_names(self) -> dict[str, str]:
        """Return attributes by the names that they are saved under, base classes first."""
        classes = reversed(type(self).__mro__)
        names = [name for one in classes for name in vars(one).get("fitted_attributes", ())]
        return {name.strip("_"): name for name in names}


def encode(value: Any) -> tuple[Any, dict[str, bytes]]:
    """Return a value as what JSON can hold, and its blobs by name.

    Raises
    ------
    StateError
        It holds something that cannot be saved; the error says where.
    """
    encoder = _Encoder()
    tree = encoder.encode(value, "model")
    return tree, encoder.pack()


def decode(tree: Any, blobs: Mapping[str, bytes]) -> Any:
    """Return the value that :func:`encode` was given.

    Only classes that are :class:`Stateful`, or frozen dataclasses of this package, are built.

    Raises
    ------
    StateError
        A class that may not be built or no longer takes what was saved, or no such form at all.
    """
    try:
        return _Decoder(blobs).decode(tree)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StateError(
            "saved model",
            seen=f"{type(error).__name__}: {first_line(error)}",
            allowed="values as optimizer.core.state writes them",
            fix="restore its files, or train again",
        ) from error


def path_of(cls: type) -> str:
    """Return the dotted path of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def find_class(path: str) -> type:
    """Return the class of a dotted path, or of where it has moved to.

    Raises
    ------
    StateError
        There is no such class, or it is one that a saved model may not name.
    """
    module, _, name = RENAMED.get(path, path).rpartition(".")
    found, parts = None, module.split(".")
    if parts[0] and parts[0] not in sys.stdlib_module_names and "__main__" not in parts:
        with suppress(ImportError):
            found = getattr(importlib.import_module(module), name, None)
    if isinstance(found, type) and (issubclass(found, Stateful) or _is_plain(found)):
        return found
    raise StateError(
        f"class {path}",
        seen="no class that a saved model may name",
        allowed="an importable optimizer.core.state.Stateful, or a frozen dataclass of optimizer",
        fix="install the extension it comes from; if it has moved, name both places in "
        "optimizer.core.state.RENAMED; else train again",
    )


def _is_plain(cls: type) -> bool:
    """Tell whether a class is a frozen dataclass of this package: values and no behaviour."""
    params = getattr(cls, "__dataclass_params__", None)
    return params is not None and params.frozen and cls.__module__.startswith("optimizer.")


def settings_of(thing: object) -> dict[str, Any]:
    """Return the arguments that an object was made with, or raise if it does not keep one."""
    found = {}
    for name, parameter in inspect.signature(type(thing)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kept = next((key for key in (name, f"_{name}") if hasattr(thing, key)), None)
        if kept is None:
            raise StateError(
                path_of(type(thing)),
                seen=f"no attribute {name}",
                allowed="every argument of the constructor, kept under its own name",
                fix=f"set self.{name} in the constructor",
            )
        found[name] = getattr(thing, kept)
    return found


class _Encoder:
    """Collects the blobs of one value."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._arrays: dict[str, NDArray[Any]] = {}
        self._by_type: dict[type, Callable[[Any, str], Any]] = {
            float: self._float,
            list: self._list,
            tuple: lambda value, at: {"tuple": self._list(value, at)},
            dict: lambda value, at: {"dict": self._dict(value, at)},
            bytes: self._bytes,
            np.ndarray: self._array,
            pd.Timedelta: lambda value, _: {"timedelta": _plain_scalar(value.asm8)},
        }

    def encode(self, value: Any, at: str) -> Any:
        """Return a value in the form of JSON; ``at`` says where it stands."""
        if value is None or type(value) in (bool, int, str):
            return value
        if isinstance(value, np.generic) and value.dtype.kind in "biufmM":
            return {"scalar": self._list(_plain_scalar(value), at)}
        write = self._by_type.get(type(value))
        if write is None and (isinstance(value, Stateful) or _is_plain(type(value))):
            write = self._object
        if write is None:
            raise _unsaved(at, type(value).__name__)
        return write(value, at)

    def pack(self) -> dict[str, bytes]:
        """Return the blobs, the arrays as one of them."""
        file = io.BytesIO()
        np.savez(file, **self._arrays)  # type: ignore[arg-type]
        return self._blobs | {ARRAYS: file.getvalue()}

    def _float(self, value: float, _: str) -> Any:
        return value if np.isfinite(value) else {"float": repr(value)}

    def _list(self, values: list[Any] | tuple[Any, ...], at: str) -> list[Any]:
        return [self.encode(one, f"{at}[{index}]") for index, one in enumerate(values)]

    def _dict(self, values: dict[Any, Any], at: str) -> dict[str, Any]:
        for key in values:
            if type(key) is not str:
                raise _unsaved(at, f"a dict with the key {key!r}")
        return {key: self.encode(one, f"{at}.{key}") for key, one in values.items()}

    def _bytes(self, value: bytes, _: str) -> Any:
        name = f"blob_{len(self._blobs)}.bin"
        self._blobs[name] = value
        return {"blob": name}

    def _array(self, value: NDArray[Any], at: str) -> Any:
        if value.dtype.hasobject:
            raise _unsaved(at, "an array of Python objects")
        key = str(len(self._arrays))
        self._arrays[key] = value
        return {"array": key}

    def _object(self, value: Any, at: str) -> Any:
        path = path_of(type(value))
        if find_class(path) is not type(value):
            raise _unsaved(at, f"{path}, which is another class today")
        found = {"class": path, "settings": self._dict(settings_of(value), at)}
        if isinstance(value, Stateful):
            found["state"] = self._dict(value.get_state(), at)
        return found


class _Decoder:
    """Reads one value with its blobs."""

    def __init__(self, blobs: Mapping[str, bytes]) -> None:
        with np.load(io.BytesIO(blobs[ARRAYS]), allow_pickle=False) as file:
            arrays = dict(file)
        self._by_tag: dict[str, Callable[[Any], Any]] = {
            "float": float,
            "tuple": lambda values: tuple(self.decode(values)),
            "dict": self._dict,
            "blob": lambda name: blobs[name],
            "array": lambda key: arrays[key],
            "timedelta": lambda plain: pd.Timedelta(_scalar(*plain)),
            "scalar": lambda plain: _scalar(*self.decode(plain)),
        }

    def decode(self, node: Any) -> Any:
        """Return the value of a node."""
        if isinstance(node, list):
            return [self.decode(one) for one in node]
        if not isinstance(node, dict):
            return node
        if "class" in node:
            return self._object(node)
        ((tag, content),) = node.items()
        return self._by_tag[tag](content)

    def _dict(self, values: dict[str, Any]) -> dict[str, Any]:
        return {key: self.decode(one) for key, one in values.items()}

    def _object(self, node: dict[str, Any]) -> Any:
        cls, settings = find_class(node["class"]), self._dict(node["settings"])
        state = self._dict(node.get("state", {}))
        try:
            made = cls(**settings)
            if isinstance(made, Stateful):
                made.set_state(state)
        except (TypeError, ValueError, KeyError, OptimizerError) as error:
            if isinstance(error, StateError):
                raise
            raise StateError(
                path_of(cls),
                seen=f"what was saved of it is refused: {first_line(error)}",
                allowed=", ".join(inspect.signature(cls).parameters) or "no argument",
                fix="let the class take what it took when the model was saved, or train again",
            ) from error
        return made


def _plain_scalar(value: np.generic) -> tuple[str, Any]:
    """Return the dtype of a scalar, and its value as text, number or bool."""
    if value.dtype.kind == "M":
        return str(value.dtype), str(value)
    return str(value.dtype), (value.astype(np.int64) if value.dtype.kind == "m" else value).item()


def _scalar(dtype: str, plain: Any) -> Any:
    """Return the scalar of :func:`_plain_scalar`."""
    return np.array(plain).astype(np.dtype(dtype))[()]


def _unsaved(at: str, seen: str) -> StateError:
    """Return the error of a value that has no plain form."""
    return StateError(
        at,
        seen=seen,
        allowed=VALUES,
        fix="let its class inherit Stateful, or its owner's get_state give plain values",
    )
