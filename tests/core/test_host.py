"""The host: finds plugins, names those that fail, and starts everything else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pluggy
import pytest
from offered import Hooks, found, offering

from alluse_core import builtin
from alluse_core.errors import (
    BrokerUnavailable,
    DuplicateProvider,
    HookError,
    PluginError,
    ProviderNotFound,
)
from alluse_core.host import KINDS, Candidate, Host, PluginState, installed, safe_mode
from alluse_core.markers import hookimpl
from alluse_core.providers import Command, Provider


def of_module(
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str = "acme",
    distribution: str = "acme-dist",
) -> Candidate:
    """Return a plugin that is still to be imported."""
    module = f"fake_plugin_{name}_{distribution.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(source, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, module, raising=False)
    return Candidate(name, distribution, "1.0", module=module)


GOOD = """
from alluse_core import Provider, hookimpl
@hookimpl
def alluse_caches():
    yield Provider("{name}", lambda context: "opened")
"""


# --- what is offered -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "hook"),
    [
        ("broker", "alluse_brokers"),
        ("cache", "alluse_caches"),
        ("stage", "alluse_order_stages"),
        ("source", "alluse_metric_sources"),
        ("rule", "alluse_alert_rules"),
        ("analyzer", "alluse_analyzers"),
        ("store", "alluse_metric_stores"),
        ("notifier", "alluse_notifiers"),
        ("reporter", "alluse_reporters"),
    ],
)
def test_every_kind_of_provider_can_be_offered_and_opened(kind: str, hook: str) -> None:
    assert KINDS[kind] == hook
    host = Host(candidates=[found(offering(kind, "one", "two"))])
    assert host.names(kind) == ("one", "two")
    assert host.provider(kind, "two").name == "two"
    assert host.open(kind, "two", None) == "two opened"  # type: ignore[arg-type]
    (info,) = host.plugins
    assert info.offers == ((kind, "one"), (kind, "two"))
    assert info.state is PluginState.LOADED
    assert info.load_ms > 0


def test_alluse_commands_are_records_and_nothing_of_them_is_imported() -> None:
    command = Command("hello", "Say hello.", "no_such_module:hello")
    plugin = Hooks(alluse_commands=hookimpl(lambda: [command]))
    assert Host(candidates=[found(plugin)]).commands() == (command,)


def test_the_core_offers_through_the_same_hooks() -> None:
    host = Host(candidates=[], built_in=(builtin,))
    assert host.names("store") == ("sqlite",)
    assert "run" in {command.name for command in host.commands()}


def test_installed_plugins_are_found_by_the_one_entry_point_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "acme_dist-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-dist\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[alluse]\nacme = acme.plugin\n[other]\nx = y\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    ours = [item for item in installed() if item.distribution == "acme-dist"]
    assert ours == [Candidate("acme", "acme-dist", "1.2", module="acme.plugin")]


def test_a_provider_that_is_not_there_is_named_with_the_nearest() -> None:
    host = Host(candidates=[found(offering("broker", "ibkr", "paper"))])
    with pytest.raises(ProviderNotFound, match=r"'ibrk' is not among .*did you mean 'ibkr'"):
        host.provider("broker", "ibrk")


def test_only_the_kinds_asked_for_are_asked_of_plugins() -> None:
    plugin = offering("broker", "x")
    plugin.alluse_commands = hookimpl(lambda: [Command("c", "", "m:a")])  # type: ignore[attr-defined]
    host = Host(candidates=[found(plugin)], kinds=("command",))
    assert host.names("broker") == ()
    assert [command.name for command in host.commands()] == ["c"]


# --- what may load -------------------------------------------------------------------------------


def states(host: Host) -> dict[str, str]:
    return {info.name: info.state.value for info in host.plugins}


def test_the_allow_list_names_distributions_and_blocks_all_others() -> None:
    candidates = [
        found(None, "one", "one-dist"),
        found(None, "two", "two-dist"),
        found(None, "one-dist", "evil"),
    ]
    candidates = [attrs.evolve(item, module="types") for item in candidates]
    host = Host(candidates=candidates, allow=["One_Dist"])
    assert states(host) == {"one": "loaded", "two": "blocked", "one-dist": "blocked"}
    assert host.plugins[1].error == "not in [alluse] plugins"


@pytest.mark.parametrize("name", ["two", "two-dist", "Two_Dist"])
def test_a_disabled_plugin_is_not_even_imported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = of_module("raise SystemExit('imported')", tmp_path, monkeypatch, "two", "two-dist")
    host = Host(candidates=[bomb], disabled=[name])
    assert states(host) == {"two": "blocked"}
    assert bomb.module not in sys.modules


def test_safe_mode_starts_with_built_in_plugins_only() -> None:
    candidates = [
        found(offering("cache", "lru"), "cache", "alluse-cache"),
        found(offering("cache", "other"), "acme", "acme-dist"),
    ]
    host = Host(candidates=candidates, objects=[offering("rule", "r")], safe_mode=True)
    assert host.names("cache") == ("lru",)
    assert host.names("rule") == ()
    assert {info.error for info in host.plugins} == {"", "safe mode"}


@pytest.mark.parametrize(
    ("text", "on"),
    [("1", True), ("true", True), ("", False), ("0", False), ("false", False), ("Off", False)],
)
def test_a_switch_in_the_environment_says_on_or_off(
    text: str, on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLUSE_SAFE_MODE", text)
    assert safe_mode() is on


# --- duplicates ----------------------------------------------------------------------------------


def test_two_distributions_with_one_name_are_both_named() -> None:
    candidates = [
        found(offering("cache", "lru"), "a", "first-dist"),
        found(offering("cache", "lru"), "b", "second-dist"),
    ]
    with pytest.raises(DuplicateProvider, match=r"'lru' .*first-dist and second-dist") as caught:
        Host(candidates=candidates)
    assert "disabled_plugins" in caught.value.hint
    assert Host(candidates=candidates, disabled=["b"]).names("cache") == ("lru",)


def test_one_name_may_be_used_for_two_kinds() -> None:
    candidates = [
        found(offering("cache", "x"), "a", "first"),
        found(offering("rule", "x"), "b", "second"),
    ]
    host = Host(candidates=candidates)
    assert (host.names("cache"), host.names("rule")) == (("x",), ("x",))


def test_two_distributions_may_pick_one_entry_point_name() -> None:
    candidates = [
        found(offering("cache", "x"), "same", "first"),
        found(offering("cache", "y"), "same", "second"),
    ]
    assert Host(candidates=candidates).names("cache") == ("x", "y")


def test_two_distributions_with_one_command_are_both_named() -> None:
    plugins = [
        Hooks(alluse_commands=hookimpl(lambda: [Command("run", "", "m:a")])) for _ in range(2)
    ]
    with pytest.raises(DuplicateProvider, match=r"command 'run' .*first and second"):
        Host(candidates=[found(plugins[0], "a", "first"), found(plugins[1], "b", "second")])


# --- plugins that are wrong ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import no_such_library", "No module named 'no_such_library'"),
        ("raise RuntimeError('at import')", "RuntimeError: at import"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        (
            "from alluse_core import hookimpl\n@hookimpl\ndef alluse_brokrs(): return []",
            "'alluse_brokrs' is not a hook; did you mean 'alluse_brokers'?",
        ),
        ("def alluse_brokrs(): return []", "did you mean 'alluse_brokers'?"),
        ("def alluse_brokers(): return []", "'alluse_brokers' is not marked with @hookimpl"),
        (
            "from alluse_core import hookimpl\n@hookimpl\ndef alluse_brokers(host): return []",
            "host",
        ),
        (
            "from alluse_core import hookimpl\n@hookimpl\ndef alluse_brokers(): yield 'ibkr'",
            "alluse_brokers yielded 'ibkr', which is no Provider",
        ),
        (
            "from alluse_core import Provider, hookimpl\n@hookimpl\n"
            "def alluse_commands(): yield Provider('x', print)",
            "which is no Command",
        ),
        (
            "from alluse_core import Provider, hookimpl\n@hookimpl\n"
            "def alluse_brokers(): return Provider('x', print)",
            "not iterable",
        ),
        (
            "from alluse_core import Provider, hookimpl\n@hookimpl\n"
            "def alluse_brokers(): Provider('x', print)",
            "alluse_brokers returned None",
        ),
        (
            "from alluse_core import Provider, hookimpl\n@hookimpl\n"
            "def alluse_brokers(): yield Provider('', print)",
            "whose name is ''",
        ),
        (
            "from alluse_core import Provider, hookimpl\n@hookimpl\n"
            "def alluse_brokers(): yield Provider('x', print, dict)",
            "no attrs class",
        ),
        (
            "from alluse_core import Provider, hookimpl\n@hookimpl\ndef alluse_brokers():\n"
            "    yield Provider('half', print)\n    raise ValueError('then it broke')",
            "ValueError: then it broke",
        ),
    ],
)
def test_a_plugin_that_is_wrong_is_named_while_the_rest_starts(
    source: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = of_module(source, tmp_path, monkeypatch, "wrong", "wrong-dist")
    first = of_module(GOOD.format(name="first"), tmp_path, monkeypatch, "a", "a-dist")
    last = of_module(GOOD.format(name="last"), tmp_path, monkeypatch, "z", "z-dist")
    host = Host(candidates=[first, wrong, last])
    assert states(host) == {"a": "loaded", "wrong": "failed", "z": "loaded"}
    assert error in host.plugins[1].error
    assert host.plugins[1].offers == ()
    assert host.names("cache") == ("first", "last")
    assert host.names("broker") == ()


def test_a_hook_may_be_implemented_under_another_function_name() -> None:
    def offer() -> list[Provider[Any]]:
        return [Provider("x", lambda context: context)]

    plugin = Hooks(offer=hookimpl(offer, specname="alluse_caches"))
    assert Host(candidates=[found(plugin)]).names("cache") == ("x",)


def test_an_interrupt_while_plugins_load_is_not_swallowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        Host(candidates=[of_module("raise KeyboardInterrupt", tmp_path, monkeypatch)])


# --- opening -------------------------------------------------------------------------------------


def plugin_opening(opener: Any) -> object:
    return Hooks(alluse_caches=hookimpl(lambda: [Provider("x", opener)]))


def fail_with(error: BaseException) -> Any:
    def opener(context: object) -> Any:
        raise error

    return opener


@pytest.mark.parametrize("error", [RuntimeError("no disk"), SystemExit(1), ImportError("numpy")])
def test_an_open_that_raises_names_plugin_and_distribution(error: BaseException) -> None:
    host = Host(candidates=[found(plugin_opening(fail_with(error)))])
    with pytest.raises(PluginError, match=r"'acme' \(acme-dist\): cache 'x' did not open") as got:
        host.open("cache", "x", None)  # type: ignore[arg-type]
    assert got.value.__cause__ is error
    assert host.plugins[0].state is PluginState.FAILED


def test_an_open_that_returns_nothing_is_an_error() -> None:
    host = Host(candidates=[found(plugin_opening(lambda context: None))])
    with pytest.raises(PluginError, match="returned None"):
        host.open("cache", "x", None)  # type: ignore[arg-type]


def test_an_error_of_our_own_tree_passes_as_it_is() -> None:
    away = BrokerUnavailable("nobody answers")
    host = Host(candidates=[found(plugin_opening(fail_with(away)))])
    with pytest.raises(BrokerUnavailable) as got:
        host.open("cache", "x", None)  # type: ignore[arg-type]
    assert got.value is away
    assert host.plugins[0].state is PluginState.LOADED


# --- objects that are handed in ------------------------------------------------------------------


class Stand:
    """A plugin whose state is in its instance."""

    def __init__(self, name: str) -> None:
        self.name = name

    @hookimpl
    def alluse_caches(self) -> Iterator[Provider[str]]:
        yield Provider(self.name, lambda context: self.name)


def test_two_objects_of_one_class_are_two_plugins() -> None:
    host = Host(candidates=[], objects=[Stand("a"), Stand("b")], allow=["alluse-cache"])
    assert host.names("cache") == ("a", "b")
    with pytest.raises(DuplicateProvider, match="the object Stand"):
        Host(candidates=[], objects=[Stand("a"), Stand("a")])


@pytest.mark.parametrize("item", ["acme.plugin", None, 5, object(), Hooks()])
def test_an_object_without_hooks_is_refused_at_once(item: object) -> None:
    with pytest.raises(PluginError, match="implements no hook"):
        Host(candidates=[], objects=[item])


def test_a_class_in_place_of_its_instance_is_named_as_failed() -> None:
    host = Host(candidates=[], objects=[Stand])
    assert host.plugins[0].state is PluginState.FAILED


def test_a_misspelt_hook_of_an_object_is_named() -> None:
    @hookimpl
    def alluse_cache() -> None:
        """A hook that does not exist."""

    host = Host(candidates=[], objects=[Hooks(alluse_cache=alluse_cache)])
    assert "did you mean 'alluse_caches'" in host.plugins[0].error
    assert HookError.__name__ in host.plugins[0].error


# --- no globals ----------------------------------------------------------------------------------


def test_two_hosts_in_one_process_share_nothing() -> None:
    one = Host(candidates=[], objects=[Stand("a")])
    two = Host(candidates=[], objects=[Stand("b")])
    assert (one.names("cache"), two.names("cache")) == (("a",), ("b",))


def test_hooks_are_called_while_the_host_starts_and_never_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    original = pluggy.PluginManager._hookexec

    def counted(self: Any, name: str, *args: Any) -> Any:
        calls.append(name)
        return original(self, name, *args)

    monkeypatch.setattr(pluggy.PluginManager, "_hookexec", counted)
    host = Host(candidates=[], objects=[Stand("a")])
    started = len(calls)
    for _ in range(100):
        host.open("cache", "a", None)  # type: ignore[arg-type]
        host.provider("cache", "a")
        host.commands()
    assert len(calls) == started
