"""Configuration: compose the yaml choices, check every key, build the components.

With :mod:`optimizer.training.tuning.grammar` the only module of the package that knows Hydra and
OmegaConf.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from traceback import walk_tb
from typing import Any, TypeVar

from optimizer.core.artifacts import shipped
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import ConfigError, OptimizerError
from optimizer.core.extensions import check_extensions
from optimizer.core.renamed import refuse_renamed

T = TypeVar("T")
CONF_DIR = shipped("conf")
"""Where our yamls lie."""
GROUPS = ("data", "features", "target", "split", "model", "imbalance")
"""The choices that name an experiment."""
NODES = (
    "data", "quality", "target", "split", "model", "imbalance", "evaluation", "store", "bounds",
    "conformal", "replay", "recommend", "patches", "simulate",
)  # fmt: skip
"""Keys of one component each."""
BY_RESOURCE = ("surface", "policy")
"""Keys of one component per resource."""
OPTIONAL = ("search", "prices")
"""Keys of one component, which may be left empty."""
_ALONE = Lock()  # Hydra keeps what it composes from in one place for all threads


def load_config(overrides: Sequence[str] | None = None) -> ExperimentConfig:
    """Compose, resolve and check a configuration.

    ``overrides``: Hydra overrides such as ``["model=lstm", "target.horizon=6h"]``.
    Raises ConfigError: an unknown choice or key, a missing value, or a value of the wrong type.
    """
    given = list(overrides or [])
    refuse_renamed(given)
    with explained(given), _hydra() as compose:
        composed = compose("config", overrides=given, return_hydra_config=True)
    return check_composed(composed, composed.hydra.runtime.choices, given)


def check_composed(
    composed: Any, choices: Mapping[str, Any], overrides: Sequence[str]
) -> ExperimentConfig:
    """Resolve what Hydra has composed and check every key of it.

    ``choices``: which yaml each group was taken from, as Hydra tells it. Raises ConfigError: see
    :func:`load_config`.
    """
    from omegaconf import OmegaConf

    with explained(overrides):
        plain = OmegaConf.masked_copy(composed, [str(k) for k in composed if k != "hydra"])
        OmegaConf.resolve(plain)
        values = OmegaConf.to_container(plain, throw_on_missing=True)
        known = OmegaConf.merge(OmegaConf.structured(ExperimentConfig), values)
        config = OmegaConf.to_object(known)
    assert isinstance(config, ExperimentConfig)  # noqa: S101 - to_object's declared type is Any
    config.choices = {k: str(v) for k, v in choices.items() if re.fullmatch(r"[\w/]+", k)}
    config.overrides = list(overrides)
    for key, node in _nodes(config):
        _check_arguments(key, node)
    return config


@contextmanager
def explained(overrides: Sequence[str]) -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise into an error that names the override at fault."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise _explain(error, list(overrides)) from error
    except ValueError as error:  # Hydra raises some; others are no fault of an override
        *_, (frame, _) = walk_tb(error.__traceback__)
        if str(frame.f_globals["__name__"]).partition(".")[0] != "hydra":
            raise
        raise _explain(error, list(overrides)) from error


@contextmanager
def _hydra() -> Iterator[Any]:
    """Yield Hydra's ``compose``, also while Hydra's own command line is running."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.utils import JobRuntime

    check_conf()
    with _ALONE:
        running = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            name = JobRuntime.instance().get("name")  # of the command that runs, kept as it is
            with initialize_config_dir(str(CONF_DIR), job_name=name, version_base="1.3"):
                yield compose
        finally:
            GlobalHydra.instance().hydra = running


def check_conf() -> None:
    """Raise unless our yamls are there, and no extension gives one of them a second time.

    Raises ConfigError: the directory of yamls is missing, or see
    :func:`~optimizer.core.extensions.check_extensions`.
    """
    if not (CONF_DIR / "config.yaml").is_file():
        raise ConfigError(
            "conf",
            seen=f"no config.yaml in {CONF_DIR}",
            allowed="the directory conf of a checkout, or that of the installed package",
            fix="install the package again, or restore conf/ with git checkout conf",
        )
    check_extensions(CONF_DIR)


def list_choices(group: str) -> tuple[str, ...]:
    """Return the names of a group's choices, those of extensions among them."""
    from hydra.core.global_hydra import GlobalHydra

    with _hydra():
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None  # noqa: S101 - it has just been initialised
        return tuple(sorted(hydra.config_loader.get_group_options(group)))


def load_presets(group: str, names: Sequence[str], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the values that choices' own yamls give, by name, resolved beside other overrides.

    ``group``: such as ``policy/cpu``.
    """
    wanted = [f"+{group}@presets.{name}={name}" for name in names]
    presets: dict[str, Any] = compose_plain(*overrides, *wanted)["presets"]
    return {name: presets[name] for name in names}


@lru_cache(maxsize=8)
def compose_plain(*overrides: str) -> dict[str, Any]:
    """Return a composition as plain values, unchecked: ``???`` stands for what is missing.

    The newest ones are kept, since composing takes a fifth of a second; callers do not change them.
    """
    from omegaconf import OmegaConf

    with explained(overrides):
        with _hydra() as compose:
            composed = compose("config", overrides=list(overrides))
        OmegaConf.resolve(composed)
        values: dict[str, Any] = OmegaConf.to_container(composed)  # type: ignore[assignment]
    return values


def build(node: dict[str, Any], key: str, protocol: type[Any] | None = None) -> Any:
    """Instantiate the component of a node.

    ``node``: ``_target_`` and arguments. ``key``: its place in the configuration, for messages.
    ``protocol``: what the component must be: a class, or a protocol that can be checked at run
    time. Raises ConfigError: the constructor refused an argument, or the component lacks a method.
    """
    component = _instantiate(node, key)
    if protocol is not None:
        require_methods(component, protocol, key)
    return component


def require_methods(component: object, protocol: type[Any], key: str) -> None:
    """Raise unless a component is what its place in the configuration needs.

    Raises ConfigError: it names the class and what it lacks.
    """
    if isinstance(component, protocol):
        return
    members = [name for name in dir(protocol) if not name.startswith("_")]
    missing = [name for name in members if not hasattr(component, name)]
    raise ConfigError(
        f"{key}._target_",
        seen=f"{type(component).__name__} without {', '.join(missing) or 'what it needs'}",
        allowed=f"a class with {', '.join(members)}, as {protocol.__name__} describes",
        fix="add what is missing to the class, or choose another one",
    )


def _instantiate(node: dict[str, Any], key: str) -> Any:
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause: BaseException | None = error.__cause__
        while cause is not None and not isinstance(cause, OptimizerError):
            cause = cause.__cause__
        if isinstance(cause, OptimizerError):
            raise _placed(cause, key) from None
        arguments = {k: v for k, v in node.items() if k != "_target_"}
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ConfigError(
            key,
            seen=f"{arguments} ({reason})",
            allowed=f"what {node['_target_']} accepts",
            fix=f"correct the value of {key}.<argument>",
        ) from error


PLACES = (
    ("baselines.", r"\bmodel\.", ""),
    ("features.groups.", r"\bfeatures\.groups\.\w+\.", ""),
    ("surface.", r"\bsurface\.", ""),
    ("surface.", r"\bmodel\.", "model."),
    ("policy.", r"\bpolicy\.", ""),
)
"""Where nodes of a key's start stand, what a class calls its own key, and what goes between."""


def _placed(error: OptimizerError, key: str) -> OptimizerError:
    """Return the error under the node's own key: one class may serve several nodes."""
    for start, home, told in PLACES:
        if key.startswith(start):
            new = f"{key}.{told}"
            offender, fix = (re.sub(home, new, text) for text in (error.offender, error.fix))
            if offender != error.offender:
                return type(error)(offender, seen=error.seen, allowed=error.allowed, fix=fix)
    return error


def _nodes(config: ExperimentConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every node that names a class, with its key."""
    for key in NODES:
        yield key, getattr(config, key)
    for name, node in config.features.groups.items():
        yield f"features.groups.{name}", node
    for name, node in config.baselines.items():
        yield f"baselines.{name}", node
    for key in BY_RESOURCE:
        for resource, node in getattr(config, key).items():
            yield f"{key}.{resource}", node
    yield from ((key, getattr(config, key)) for key in OPTIONAL if getattr(config, key))


def _check_arguments(key: str, node: Any) -> None:
    """Raise if a node names no class, or an argument that its class does not have."""
    target = node.get("_target_") if isinstance(node, dict) else node
    if not isinstance(node, dict) or not isinstance(target, str):
        raise ConfigError(
            f"{key}._target_",
            seen=target,
            allowed="the dotted name of a class",
            fix=f"choose {key} by name, for example {key}=<choice>",
        )
    module, _, name = target.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{key}._target_",
            seen=target,
            allowed="an importable class",
            fix=f"correct the name ({error})",
        ) from error
    allowed = list(inspect.signature(cls).parameters)
    for argument in node:
        if argument not in allowed and not argument.startswith("_"):
            raise _unknown_key(f"{key}.{argument}", [f"{key}.{name}" for name in allowed])
    for place, inner in _inner_nodes(node, key):
        _check_arguments(place, inner)


def _inner_nodes(node: dict[str, Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every node within a node that names a class of its own, with its key."""
    for name, value in node.items():
        if isinstance(value, dict):
            place = f"{key}.{name}"
            if "_target_" in value:
                yield place, value
            else:
                yield from _inner_nodes(value, place)


def _unknown_key(key: str, known: list[str]) -> ConfigError:
    """Return the error of a key that does not exist, with its neighbours that do."""
    parts = key.split(".")
    parent = "".join(f"{part}." for part in parts[:-1])
    beside = {".".join(k.split(".")[: len(parts)]) for k in known if k.startswith(parent)}
    allowed = beside or {k.split(".")[0] for k in known}
    # Beside its parent the last word counts, since the rest is the same anyway.
    tails = {k.split(".")[-1]: k for k in sorted(beside)}
    near = [tails[k] for k in difflib.get_close_matches(parts[-1], tails, n=1)]
    same = [k for k in known if k.split(".")[-1] == parts[-1]]
    near = near or difflib.get_close_matches(key, same, n=1, cutoff=0.0)
    near = near or difflib.get_close_matches(key, {*allowed, *known} - beside, n=1, cutoff=0.7)
    return ConfigError(
        key,
        seen="an unknown key",
        allowed=", ".join(sorted(allowed)) or "no key here",
        fix=f"did you mean {near[0]}" if near else "remove it",
    )


def _known_keys(overrides: list[str]) -> list[str]:
    """Return the keys of the configuration that the other overrides choose."""
    try:
        config = load_config(overrides)
    except ConfigError:
        if not overrides:
            return []
        config = load_config()
    hidden = re.compile(r"choices|.*_target_$")
    return [*(key for key in config.flatten() if not hidden.match(key)), *GROUPS]


def _explain(error: Exception, overrides: list[str]) -> ConfigError:
    """Turn an error of Hydra or OmegaConf into one that names the override at fault."""
    text = str(error)
    missing = re.search(r"Could not find '([^']+)'", text)
    if missing:
        group, _, choice = missing.group(1).rpartition("/")
        options = re.sub(r"\s+", " ", text.split("Available options", 1)[-1])
        options = ", ".join(re.findall(r"[\w.]+", options.split(":", 1)[-1].split("Config")[0]))
        return ConfigError(
            group or choice, seen=repr(choice), allowed=options, fix=f"set {group}=<one of these>"
        )
    told = re.search(r"(?:Could not \w+|already at|from config\.) '([\w.@/+-]+)'", text)
    named = [getattr(e, "full_key", None) or "" for e in (error, error.__cause__)]
    key = max([told.group(1) if told else "", *named], key=len) or "overrides"
    if "Missing mandatory value" in text:
        return ConfigError(
            key, seen="no value", allowed="a value", fix=f"add {key}=<value> to the command"
        )
    names = {override.split("=")[0].lstrip("+~"): override for override in overrides}
    near = [name for name in names if key.startswith(name)]
    given = names[max(near, key=len)] if near else None
    if any(sign in text for sign in ("Could not override", "Could not delete", "' not in '")):
        others = [override for override in overrides if override != given]
        # With no override at fault the yamls are: composing them again would fail again.
        return _unknown_key(key, _known_keys(others) if len(others) < len(overrides) else [])
    return ConfigError(
        key,
        seen=given or ", ".join(overrides) or "no override",
        allowed="Hydra overrides such as model=lstm or target.horizon=6h",
        fix=text.splitlines()[0].rstrip("."),
    )
