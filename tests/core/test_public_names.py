"""What ``alluse_core`` promises by name: the names, and the tree of errors."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
from pathlib import Path

import pytest

import alluse_core
from alluse_core import errors
from alluse_core.errors import AllUseError, did_you_mean
from alluse_core.model import Candidate, Instrument

ERRORS = [
    item
    for item in vars(errors).values()
    if inspect.isclass(item) and issubclass(item, AllUseError)
]
EXIT_CODES = {1, 2, 3, 4, 5, 6}


def test_the_public_names_are_sorted_and_are_what_the_table_holds() -> None:
    names = alluse_core.__all__
    assert names == sorted(names)
    assert len(names) == len(set(names))
    assert set(names) == set(alluse_core._HOME)


def test_what_a_type_checker_sees_is_what_is_there() -> None:
    tree = ast.parse(Path(alluse_core.__file__).read_text("utf-8"))
    seen = {
        alias.name: str(node.module).removeprefix("alluse_core.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("alluse_core.")
        for alias in node.names
    }
    assert seen == alluse_core._HOME


@pytest.mark.parametrize("name", alluse_core.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    home = importlib.import_module(f"alluse_core.{alluse_core._HOME[name]}")
    assert getattr(alluse_core, name) is getattr(home, name)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Ordre"):
        _ = alluse_core.Ordre


@pytest.mark.parametrize("module", ["model", "settings", "telemetry", "testing", "cli"])
def test_the_lists_of_names_hold(module: str) -> None:
    names = importlib.import_module(f"alluse_core.{module}")
    assert len(set(names.__all__)) == len(names.__all__)
    assert all(hasattr(names, name) for name in names.__all__)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_is_documented_and_has_an_exit_code(kind: type[AllUseError]) -> None:
    assert "__doc__" in vars(kind)
    assert kind.__doc__
    assert kind.exit_code in EXIT_CODES


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    assert errors.AllUseError.exit_code == 1
    assert errors.UsageError.exit_code == 2
    assert errors.SettingsError.exit_code == errors.PluginError.exit_code == 3
    assert errors.BrokerError.exit_code == 4
    assert errors.OrderDenied.exit_code == 5


SPECIMENS = [
    AllUseError("fact", hint="way out"),
    errors.ProviderNotFound("broker", "ibrk", ["ibkr"]),
    errors.RequestFailed("refused", code=201, hint="h"),
    errors.AmbiguousInstrument("several", [Candidate(Instrument.stock("A"), "7")], hint="h"),
    errors.OrderDenied("too many", stage="max_quantity", hint="h"),
    errors.TradingHalted("halted", stage="halt"),
]


@pytest.mark.parametrize("error", SPECIMENS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_whole_from_another_process(error: AllUseError) -> None:
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, made here
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_the_nearest_word_is_suggested_and_a_strange_one_is_not() -> None:
    assert did_you_mean("ordres", ["orders", "alerts"]) == "; did you mean 'orders'?"
    assert did_you_mean("xyzzy", ["orders", "alerts"]) == ""
    assert did_you_mean("orders", []) == ""
