"""Every hook is documented, has an example that runs, belongs to a kind, and is in some test."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
from pathlib import Path
from types import FunctionType
from typing import get_args, get_type_hints

import pytest

from alluse_core import hookspecs, ports, providers
from alluse_core.host import KINDS, Host
from alluse_core.installation import TABLES
from alluse_core.providers import Command, Provider
from alluse_core.settings import PLUGIN_TABLES

HOOKS = {
    name: hook
    for name, hook in vars(hookspecs).items()
    if isinstance(hook, FunctionType) and hook.__module__ == hookspecs.__name__
}
ROOT = Path(__file__).resolve().parents[2]


def test_every_hook_belongs_to_exactly_one_kind() -> None:
    assert sorted(KINDS.values()) == sorted(HOOKS)
    assert set(TABLES) == set(KINDS) - {"command"}
    assert set(TABLES.values()) == set(PLUGIN_TABLES)


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_a_spec_without_arguments_that_says_what_it_yields(name: str) -> None:
    assert name.startswith("alluse_")
    assert hasattr(HOOKS[name], "alluse_spec")
    assert not inspect.signature(HOOKS[name]).parameters
    (yielded,) = get_args(get_type_hints(HOOKS[name], {**vars(ports), **vars(hookspecs)})["return"])
    assert yielded is Command or yielded.__origin__ is Provider


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented_with_an_example_that_runs(name: str) -> None:
    doc = inspect.getdoc(HOOKS[name]) or ""
    assert doc.split("\n", maxsplit=1)[0].startswith("Offer ")
    examples = doctest.DocTestParser().get_examples(doc)
    source = "".join(example.source for example in examples)
    assert source, f"{name} has no example"
    defined = {node.name for node in ast.walk(ast.parse(source)) if hasattr(node, "name")}
    assert name in defined, f"the example of {name} implements another hook"
    test = doctest.DocTestParser().get_doctest(doc, {}, name, None, None)
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=lambda text: None, clear_globs=False)
    assert runner.failures == 0
    plugin = type("Plugin", (), {name: staticmethod(test.globs[name])})()
    (info,) = Host(candidates=[], objects=[plugin]).plugins
    assert info.error == ""
    assert len(info.offers) == 1


def test_every_hook_is_in_some_test_beside_this_one() -> None:
    own = Path(__file__).resolve()
    texts = [
        path.read_text("utf-8")
        for folder in ("tests", "plugins")
        for path in (ROOT / folder).rglob("test_*.py")
        if path.resolve() != own
    ]
    untested = [
        name for name in HOOKS if not any(re.search(rf"\b{name}\b", text) for text in texts)
    ]
    assert not untested


@pytest.mark.parametrize("record", [Provider, Command, providers.Context])
def test_every_record_of_the_hooks_is_documented(record: type) -> None:
    assert record.__doc__
