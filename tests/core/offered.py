"""Plugins that offer what a test says."""

from __future__ import annotations

from functools import partial
from typing import Any

from alluse_core.host import KINDS, Candidate
from alluse_core.markers import hookimpl
from alluse_core.providers import Provider


class Hooks:
    """A plugin object with the hooks it is given."""

    def __init__(self, **hooks: Any) -> None:
        vars(self).update(hooks)


def offering(kind: str, *names: str, **more: Any) -> object:
    """Return a plugin that offers providers of one kind."""

    def offer() -> list[Provider[Any]]:
        return [Provider(name, partial(_opened, name), **more) for name in names]

    return Hooks(**{KINDS[kind]: hookimpl(offer)})


def _opened(name: str, context: object) -> str:
    return f"{name} opened"


def found(plugin: object, name: str = "acme", distribution: str = "acme-dist") -> Candidate:
    """Return a plugin as discovery would find it."""
    return Candidate(name, distribution, "1.0", plugin=plugin)
