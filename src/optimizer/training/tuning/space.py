"""A search space: the domains of a search, and trials of it as overrides of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from optimizer.core.errors import ConfigError
from optimizer.training.tuning.domains import Domain
from optimizer.training.tuning.grammar import parse_sweep
from optimizer.training.tuning.settings import Search

Params = dict[str, Any]
"""Values by the names of their domains, as Optuna keeps them."""


@dataclass(frozen=True)
class Space:
    """What a search chooses from.

    ``domains``: those without a case come first. ``switch``: key whose choice decides which cases
    exist; empty without cases.
    """

    domains: tuple[Domain, ...]
    switch: str = ""

    def active(self, params: Mapping[str, Any]) -> list[Domain]:
        """Return the domains that exist under the choices made."""
        chosen = str(params.get(self.switch, ""))
        return [domain for domain in self.domains if domain.case in ("", chosen)]

    def suggest(self, trial: Any) -> Params:
        """Let an Optuna trial choose a value of every domain that exists, and return them."""
        found: Params = {}
        for domain in self.domains:
            if domain.case in ("", found.get(self.switch)):
                found[domain.name] = _suggest(trial, domain)
        return found

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return a trial as overrides, choices of groups first."""
        told = [f"{one.key}={params[one.name]}" for one in self.active(params)]
        return sorted(told, key=lambda text: "." in text.split("=")[0])

    def by_key(self, params: Mapping[str, Any]) -> Params:
        """Return a trial's values by the keys of the configuration."""
        return {one.key: params[one.name] for one in self.active(params)}

    def read(self, values: Mapping[str, Any]) -> Params:
        """Return the values of a configuration, flat by key, as a trial.

        Raises LookupError: a value is missing or none of the choices; the message says which.
        """
        found: Params = {}
        for domain in self.domains:
            if domain.case not in ("", found.get(self.switch)):
                continue
            value = domain.read(str(values[domain.key])) if domain.key in values else None
            if value is None:
                raise LookupError(f"{domain.key}={values.get(domain.key, 'nothing')}")
            found[domain.name] = value
        return found

    def samples(self) -> Iterator[list[str]]:
        """Yield overrides that together try every choice and both ends of every range."""
        cases = next((one.choices for one in self.domains if one.key == self.switch), ("",))
        for case in cases:
            domains = [domain for domain in self.domains if domain.case in ("", case)]
            values = [
                (case,) if domain.key == self.switch else domain.choices or domain.ends()
                for domain in domains
            ]
            for turn in range(max(len(one) for one in values)):
                yield [
                    f"{domain.key}={one[turn % len(one)]}"
                    for domain, one in zip(domains, values, strict=True)
                ]


def build_space(
    search: Search, given: Iterable[str], settled: Mapping[str, str] | None = None
) -> Space:
    """Return the space of a search.

    ``given``: sweeps of the command line: they add to the params or replace them. ``settled``: keys
    that the command line gives one value: they are not searched. Raises ConfigError: a text is no
    sweep, a range is upside down, or there is nothing to search.
    """
    fixed, switch = settled or {}, next(iter(search.cases), "")
    typed = dict(one.lstrip("+").split("=", 1) for one in given)
    texts, cases = dict(search.params) | typed, search.cases.get(switch, {})
    if switch in fixed:  # its choice is made, and with it which keys there are
        texts = cases.get(fixed[switch], {}) | texts
        cases, switch = {}, ""
    texts = {key: text for key, text in texts.items() if key not in fixed}
    domains = [
        parse_sweep(key, text, key if key in typed else f"search.params.{key}")
        for key, text in texts.items()
    ]
    # A group that is not searched has its own keys only: those of the choice that is made.
    chosen = next((domain for domain in domains if domain.key == switch), None)
    if switch and (chosen is None or not chosen.choices):
        raise ConfigError(
            f"search.cases.{switch}",
            seen=f"no choice(...) of {switch}",
            allowed=f"search.params.{switch} with the choices that have cases",
            fix=f"add search.params.{switch}=choice(...)",
        )
    for case, params in cases.items():
        if chosen is not None and case in chosen.choices:
            home = f"search.cases.{switch}.{case}"
            domains += [
                replace(parse_sweep(key, text, f"{home}.{key}"), case=case)
                for key, text in params.items()
                if key not in texts and key not in fixed
            ]
    if not domains:
        raise ConfigError(
            "search.params",
            seen="nothing",
            allowed="at least one key with its values",
            fix="add search=lightgbm, or a sweep such as model.rounds=range(100, 900, 100)",
        )
    return Space(tuple(sorted(domains, key=lambda domain: bool(domain.case))), switch)


def _suggest(trial: Any, domain: Domain) -> Any:
    """Return what the trial chooses for a domain."""
    name, step = domain.name, domain.step
    if domain.choices:
        return trial.suggest_categorical(name, domain.choices)
    low, high, log = domain.low, domain.high, domain.log
    if domain.integer:
        return trial.suggest_int(name, int(low), int(high), step=int(step or 1), log=log)
    return trial.suggest_float(name, low, high, step=step, log=log)
