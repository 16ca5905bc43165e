"""Blocking code has every name that code with an event loop has, and calls it the same way."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import alluse_core as alluse
from alluse_core import Runtime, SyncRuntime, sync
from alluse_core.orders.service import Orders
from alluse_core.orders.ticket import CommandTicket, GroupTicket, Ticket
from alluse_core.quotes.chains import Chains
from alluse_core.quotes.service import Quotes

# What the runtime itself calls, or what belongs to its loop: blocking code has no use for these.
INNER = {
    Orders: {"evidence", "start", "stop"},
    Quotes: {"refresh", "refresh_period", "start", "stop"},
    Runtime: {"brokers", "clock", "host", "registry"},
}
PAIRS = (
    (Orders, sync.SyncOrders),
    (Quotes, sync.SyncQuotes),
    (Chains, sync.SyncChains),
    (Ticket, sync.SyncTicket),
    (GroupTicket, sync.SyncGroupTicket),
    (CommandTicket, sync.SyncCommandTicket),
    (Runtime, SyncRuntime),
)


def names(kind: type) -> set[str]:
    """Return the public names of an object of ``kind``: of its class, and set by ``__init__``."""
    source = inspect.getsource(kind.__init__)  # type: ignore[misc]
    own = re.findall(r"\bself\.(\w+)(?:: [^=\n]+)? = ", source)
    return {name for name in (*dir(kind), *kind.__annotations__, *own) if name[0] != "_"}


def _parameters(call: Any) -> list[tuple[str, Any]]:
    return [(each.name, each.kind) for each in inspect.signature(call).parameters.values()]


@pytest.mark.parametrize(("kind", "blocking"), PAIRS, ids=lambda kind: kind.__name__)
def test_blocking_code_has_the_same_names(kind: type, blocking: type) -> None:
    assert names(kind) - INNER.get(kind, set()) == names(blocking)


@pytest.mark.parametrize(("kind", "blocking"), PAIRS, ids=lambda kind: kind.__name__)
def test_and_calls_them_with_the_same_arguments(kind: type, blocking: type) -> None:
    compared = 0
    for name in names(blocking):
        call, other = getattr(kind, name, None), getattr(blocking, name, None)
        if inspect.isfunction(call):
            assert _parameters(call) == _parameters(other), name
            compared += 1
        elif isinstance(call, property):
            assert not inspect.isfunction(other), name
    assert compared


def test_the_names_that_are_left_out_are_names() -> None:
    for kind, left_out in INNER.items():
        assert left_out <= names(kind)


def test_it_opens_with_the_same_arguments_but_those_of_a_simulation() -> None:
    wanted = [each for each in _parameters(alluse.open) if each[0] not in ("clock", "committer")]
    assert _parameters(alluse.open_sync) == wanted


def _told(runtime: SyncRuntime, name: str, folder: Path) -> object:
    told = getattr(runtime, name)
    return told(*([folder] if name == "report" else []))


@pytest.mark.parametrize("name", ["positions", "account", "report", "mode"])
def test_nothing_is_told_before_it_is_entered(name: str, tmp_path: Path) -> None:
    settings = {"brokers": {"main": {"provider": "paper"}}}
    runtime = alluse.open_sync(settings, state=tmp_path)
    with pytest.raises(alluse.AllUseError, match="not open"):
        _told(runtime, name, tmp_path)
