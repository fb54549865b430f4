"""Configuration: compose the yaml choices, check every key, build the components.

With :mod:`optimizer.training.tuning.grammar` the only module of the package that knows Hydra and OmegaConf.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import ConfigError, OptimizerError

CONF_DIR = Path(__file__).resolve().parents[3] / "conf"
GROUPS = ("data", "features", "target", "split", "model", "imbalance")
"""The choices that name an experiment."""
NODES = (
    "data",
    "quality",
    "target",
    "split",
    "model",
    "imbalance",
    "evaluation",
    "store",
    "replay",
    "policy",
    "recommend",
    "patches",
    "feedback",
)
"""Keys of one component each."""
OPTIONAL = ("search", "prices")
"""The same, which may be left empty."""
_ALONE = Lock()  # Hydra keeps what it composes from in one place for all threads


def load_config(overrides: list[str] | None = None) -> ExperimentConfig:
    """Compose, resolve and check a configuration.

    Parameters
    ----------
    overrides : list of str, optional
        Hydra overrides such as ``["model=lstm", "target.horizon=6h"]``.

    Returns
    -------
    ExperimentConfig
        Resolved; an unknown key anywhere has raised.

    Raises
    ------
    ConfigError
        An unknown choice or key, a missing value, or a value of the wrong type.
    """
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        composed = _compose(overrides or [])
        choices = dict(composed.hydra.runtime.choices)
        plain = OmegaConf.masked_copy(composed, [str(k) for k in composed if k != "hydra"])
        OmegaConf.resolve(plain)
        values = OmegaConf.to_container(plain, throw_on_missing=True)
        known = OmegaConf.merge(OmegaConf.structured(ExperimentConfig), values)
        config = OmegaConf.to_object(known)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise _explain(error, overrides or []) from error
    assert isinstance(config, ExperimentConfig)  # noqa: S101 - to_object's declared type is Any
    config.choices = {k: str(v) for k, v in choices.items() if k.isidentifier()}
    for key, node in _nodes(config):
        _check_arguments(key, node)
    return config


def _compose(overrides: list[str]) -> Any:
    """Return the composed configuration, also while Hydra's own command line is running."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.utils import JobRuntime

    with _ALONE:
        running = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            name = JobRuntime.instance().get("name")  # of the command that runs, kept as it is
            with initialize_config_dir(str(CONF_DIR), job_name=name, version_base="1.3"):
                return compose("config", overrides=overrides, return_hydra_config=True)
        finally:
            GlobalHydra.instance().hydra = running


def list_choices(group: str) -> tuple[str, ...]:
    """Return the names of a group's choices, those of its own directory."""
    return tuple(sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml")))


def preset(group: str, choice: str) -> dict[str, Any]:
    """Return the values that a choice's own yaml gives, resolved as in a run without overrides."""
    from omegaconf import OmegaConf

    whole = OmegaConf.create(load_config().to_dict())
    whole[group] = OmegaConf.load(CONF_DIR / group / f"{choice}.yaml")
    values: dict[str, Any] = OmegaConf.to_container(whole[group], resolve=True)  # type: ignore[assignment]
    return values


def build(node: dict[str, Any], key: str) -> Any:
    """Instantiate the component of a node.

    Parameters
    ----------
    node : dict
        ``_target_`` and arguments.
    key : str
        Its place in the configuration, for messages.

    Raises
    ------
    ConfigError
        The constructor refused an argument.
    """
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


def _placed(error: OptimizerError, key: str) -> OptimizerError:
    """Return the error under the node's own key: one class may serve several nodes."""
    if "." not in key:
        return error
    home = r"\bmodel\." if key.startswith("baselines.") else r"\bfeatures\.groups\.\w+\."
    offender, fix = (re.sub(home, f"{key}.", text) for text in (error.offender, error.fix))
    return type(error)(offender, seen=error.seen, allowed=error.allowed, fix=fix)


def _nodes(config: ExperimentConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every node that names a class, with its key."""
    for key in NODES:
        yield key, getattr(config, key)
    for name, node in config.features.groups.items():
        yield f"features.groups.{name}", node
    for name, node in config.baselines.items():
        yield f"baselines.{name}", node
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
