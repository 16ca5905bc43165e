"""Finds plugins, asks each what it offers, opens what the settings name.

The host is the only caller of hooks, and calls them once, while it starts. A plugin that fails
loses its own offers and is named; everything else goes on.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from importlib import metadata
from types import MappingProxyType
from typing import Any, Final

import attrs
import pluggy

from alluse_core import hookspecs
from alluse_core.errors import (
    AllUseError,
    DuplicateProvider,
    HookError,
    PluginError,
    ProviderNotFound,
    did_you_mean,
)
from alluse_core.markers import ENTRY_POINT_GROUP
from alluse_core.providers import Command, Context, Provider
from alluse_core.redaction import Redaction

_log = logging.getLogger(__name__)

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "broker": "alluse_brokers",
        "cache": "alluse_caches",
        "stage": "alluse_order_stages",
        "source": "alluse_metric_sources",
        "rule": "alluse_alert_rules",
        "analyzer": "alluse_analyzers",
        "store": "alluse_metric_stores",
        "notifier": "alluse_notifiers",
        "reporter": "alluse_reporters",
        "command": "alluse_commands",
    }
)
"""What can be offered, and the hook that offers it."""

BUILT_IN: Final = frozenset(
    f"alluse-{name}"
    for name in (
        "core",
        "ibkr",
        "cache",
        "alerts",
        "risk",
        "paper",
        "gateway",
        "sim",
        "system",
        "analytics",
        "report",
        "demo",
    )
)
"""The distributions of this project: what safe mode starts with."""


def switched_on(variable: str) -> bool:
    """Return whether an environment variable is set to anything but 0, false, no or off."""
    text = os.environ.get(variable, "").strip().lower()
    return text not in ("", "0", "false", "no", "off")


def safe_mode() -> bool:
    """Return whether ALLUSE_SAFE_MODE asks for built-in plugins only."""
    return switched_on("ALLUSE_SAFE_MODE")


class PluginState(StrEnum):
    """What became of a plugin."""

    LOADED = "loaded"
    FAILED = "failed"
    BLOCKED = "blocked"


@attrs.define
class PluginInfo:
    """One plugin as the host knows it; ``offers`` are (kind, name) pairs."""

    name: str
    distribution: str
    version: str = ""
    state: PluginState = PluginState.LOADED
    error: str = ""
    load_ms: float = 0.0
    offers: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class Candidate:
    """A plugin that was found and not yet imported, or handed in as an object."""

    name: str
    distribution: str
    version: str
    module: str = ""
    plugin: object = None

    def load(self) -> object:
        """Return the plugin, importing it if need be."""
        return importlib.import_module(self.module) if self.module else self.plugin


def installed() -> Iterator[Candidate]:
    """Yield the installed plugins, by the entry-point group, in the order of their names."""
    found = metadata.entry_points(group=ENTRY_POINT_GROUP)
    for entry in sorted(found, key=lambda entry: entry.name):
        distribution = entry.dist
        yield Candidate(
            entry.name,
            distribution.name if distribution else "unknown",
            distribution.version if distribution else "",
            module=entry.value,
        )


class Host:
    """Everything that plugins offer.

    ``allow`` names the distributions that may load (empty: any); ``disabled`` those that may
    not; ``safe_mode`` allows BUILT_IN alone. ``objects`` are unpackaged plugins: modules or
    instances with hook implementations; ``built_in`` are the core's own. ``kinds`` narrows what
    plugins are asked for; ``redaction`` hides secrets in what they raise. Raises DuplicateProvider
    where two plugins offer one name of one kind, and PluginError where an object has no hooks.
    """

    def __init__(
        self,
        *,
        candidates: Iterable[Candidate] | None = None,
        objects: Sequence[object] = (),
        built_in: Sequence[object] = (),
        allow: Sequence[str] = (),
        disabled: Sequence[str] = (),
        safe_mode: bool = False,
        kinds: Collection[str] = tuple(KINDS),
        redaction: Redaction | None = None,
    ) -> None:
        self._manager = pluggy.PluginManager(ENTRY_POINT_GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._kinds = kinds
        self.redaction = redaction or Redaction()
        self.plugins: list[PluginInfo] = []
        self._providers: dict[str, dict[str, tuple[Provider[Any], PluginInfo]]] = {
            kind: {} for kind in KINDS if kind != "command"
        }
        self._commands: dict[str, tuple[Command, PluginInfo]] = {}
        found = [
            Candidate("core", "alluse-core", _core_version(), plugin=item) for item in built_in
        ]
        found += installed() if candidates is None else candidates
        found += [_handed_in(item) for item in objects]
        for candidate in found:
            info = PluginInfo(candidate.name, candidate.distribution, candidate.version)
            self.plugins.append(info)
            blocked = _blocked(candidate, allow, disabled, safe_mode)
            if blocked:
                info.state, info.error = PluginState.BLOCKED, blocked
            else:
                self._load(candidate, info)

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the names offered of a kind, in the order they were found."""
        return tuple(self._providers[kind])

    def provider(self, kind: str, name: str) -> Provider[Any]:
        """Return one provider. Raises ProviderNotFound with the names there are."""
        try:
            return self._providers[kind][name][0]
        except KeyError:
            raise ProviderNotFound(kind, name, self._providers[kind]) from None

    def commands(self) -> tuple[Command, ...]:
        """Return the sub-commands that plugins offer."""
        return tuple(command for command, _ in self._commands.values())

    def open(self, kind: str, name: str, context: Context) -> Any:
        """Open one provider's object. Raises PluginError naming the plugin where that fails.

        An error of our own tree (a setting out of range, a broker that is away) passes as it is.
        """
        provider = self.provider(kind, name)
        info = self._providers[kind][name][1]
        try:
            opened = provider.open(context)
            if opened is None:
                raise TypeError("open() returned None")
            return opened
        except AllUseError:
            raise
        except (Exception, SystemExit) as error:
            self._fail(info, f"{kind} {name!r} did not open: {self.redaction.told(error)}")
            raise PluginError(
                f"plugin {info.name!r} ({info.distribution}): {info.error}",
                hint="update or disable the plugin; ALLUSE_SAFE_MODE=1 starts without others",
            ) from error

    def _load(self, candidate: Candidate, info: PluginInfo) -> None:
        started = time.perf_counter()
        try:
            plugin = candidate.load()
            _check_hook_names(plugin)
            # Two objects may be of one class, two distributions may pick one entry-point name.
            self._manager.register(plugin, f"{candidate.name} {len(self.plugins)}")
            offers = list(self._ask(plugin, info))
        except DuplicateProvider:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001
            # Whatever a foreign plugin raises while it loads, an exit included, is its own
            # failure, named here and shown by 'alluse plugins list'; it must not keep the others
            # from starting.
            self._fail(info, self.redaction.told(error))
            return
        finally:
            info.load_ms = (time.perf_counter() - started) * 1000
        self._take(offers, info)

    def _ask(self, plugin: object, info: PluginInfo) -> Iterator[tuple[str, Any]]:
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        for kind, hook in KINDS.items():
            if kind not in self._kinds:
                continue
            caller = self._manager.subset_hook_caller(hook, remove_plugins=others)
            results = caller()
            # pluggy drops None without a word, which is what a forgotten yield returns.
            if len(results) < len(caller.get_hookimpls()):
                raise HookError(f"{hook} returned None; yield its records or return a list of them")
            for yielded in results:
                for record in yielded:
                    _check_record(hook, kind, record)
                    yield kind, record

    def _take(self, offers: list[tuple[str, Any]], info: PluginInfo) -> None:
        for kind, record in offers:
            held = self._commands if kind == "command" else self._providers[kind]
            other = held.get(record.name)
            if other is not None:
                raise DuplicateProvider(
                    f"{kind} {record.name!r} is offered by both {_whose(other[1])} and"
                    f" {_whose(info)}",
                    hint="disable one of them: [alluse] disabled_plugins = [...]",
                )
            held[record.name] = (record, info)
        info.offers = tuple((kind, record.name) for kind, record in offers)

    def _fail(self, info: PluginInfo, error: str) -> None:
        info.state, info.error = PluginState.FAILED, error
        _log.error("plugin %s (%s) failed: %s", info.name, info.distribution, error)


def _core_version() -> str:
    """Return the installed core's version; empty in a checkout that was never installed."""
    try:
        return metadata.version("alluse-core")
    except metadata.PackageNotFoundError:
        return ""


def _blocked(
    candidate: Candidate, allow: Sequence[str], disabled: Sequence[str], safe_mode: bool
) -> str:
    distribution = _normal(candidate.distribution)
    if safe_mode and distribution not in BUILT_IN:
        return "safe mode"
    if {distribution, _normal(candidate.name)} & set(map(_normal, disabled)):
        return "disabled by [alluse] disabled_plugins"
    handed_in = not candidate.module
    # By distribution alone: an entry point's name is the plugin's own choice.
    if allow and not handed_in and distribution not in set(map(_normal, allow)):
        return "not in [alluse] plugins"
    return ""


def _normal(distribution: str) -> str:
    # One distribution, several spellings: the packaging standard's own rule.
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _whose(info: PluginInfo) -> str:
    return info.distribution if info.distribution != "(object)" else f"the object {info.name}"


def _handed_in(item: object) -> Candidate:
    name = getattr(item, "__name__", type(item).__name__)
    if not any(_option(item, attribute) is not None for attribute in dir(item)):
        raise PluginError(
            f"{item!r} was handed in as a plugin and implements no hook",
            hint="hand in a module, or an instance, with functions marked @hookimpl",
        )
    return Candidate(name, "(object)", "", plugin=item)


def _option(plugin: object, attribute: str) -> Any:
    """Return what @hookimpl left on an attribute; None where it is unmarked."""
    return getattr(getattr(plugin, attribute, None), f"{ENTRY_POINT_GROUP}_impl", None)


def _check_record(hook: str, kind: str, record: object) -> None:
    wanted = Command if kind == "command" else Provider
    if not isinstance(record, wanted):
        raise HookError(f"{hook} yielded {record!r}, which is no {wanted.__name__}")
    if not isinstance(record.name, str) or not record.name.strip():
        raise HookError(f"{hook} yielded a {wanted.__name__} whose name is {record.name!r}")
    if isinstance(record, Provider) and not attrs.has(record.settings_type):
        raise HookError(
            f"{hook}: the settings_type of {record.name!r} is {record.settings_type!r}, which is"
            " no attrs class"
        )


def _check_hook_names(plugin: object) -> None:
    known = tuple(KINDS.values())
    for name in dir(plugin):
        option = _option(plugin, name)
        marked = option is not None
        hook = (option or {}).get("specname") or name
        meant = marked or _looks_like_a_hook(plugin, name)
        if meant and hook not in known:
            raise HookError(f"{hook!r} is not a hook{did_you_mean(hook, known)}")
        if name in known and not marked:
            raise HookError(f"{name!r} is not marked with @hookimpl")


def _looks_like_a_hook(plugin: object, name: str) -> bool:
    # Modules named alluse_x are imported everywhere; a function of such a name is a hook.
    return name.startswith(f"{ENTRY_POINT_GROUP}_") and callable(getattr(plugin, name, None))
