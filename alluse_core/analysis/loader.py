"""Opens analyzers by reference, in this process or in a worker."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs

from alluse_core.analysis.job import AnalyzerSpec
from alluse_core.clock import SystemClock
from alluse_core.errors import PluginError, ProviderNotFound
from alluse_core.model import Evidence
from alluse_core.ports import Analyzer, Priority
from alluse_core.providers import Context, Provider
from alluse_core.settings import structure
from alluse_core.telemetry import Registry

HOOK = "alluse_analyzers"


def specify(provider: Provider[Any], settings: attrs.AttrsInstance | None = None) -> AnalyzerSpec:
    """Return how a worker finds ``provider`` again, with an instance of its settings type.

    A worker imports the module in which the provider's ``open`` is written and asks its
    ``alluse_analyzers``. Raises PluginError where that does not lead back to the provider, as
    with an object that lives in this process only.
    """
    module = getattr(provider.open, "__module__", None) or ""
    spec = AnalyzerSpec(
        provider.name, f"{module}:{HOOK}", {} if settings is None else attrs.asdict(settings)
    )
    try:
        find(spec)
    except Exception as error:
        raise PluginError(
            f"analyzer {provider.name!r} cannot be found by a worker process: {error}",
            hint=f"write its open function in the module that has {HOOK}",
        ) from error
    return spec


def find(spec: AnalyzerSpec) -> Provider[Analyzer]:
    """Return the provider that a spec refers to; raise ProviderNotFound or ImportError."""
    module, _, attribute = spec.reference.partition(":")
    referred = getattr(importlib.import_module(module), attribute)
    if isinstance(referred, Provider):
        return referred
    offered = {provider.name: provider for provider in _providers(referred())}
    if spec.name not in offered:
        raise ProviderNotFound("analyzer", spec.name, offered)
    return offered[spec.name]


def open_analyzer(spec: AnalyzerSpec) -> Analyzer:
    """Open what a spec refers to, with its settings read strictly.

    Analyzers keep no state: their ``state_dir`` is the system's folder for temporary files.
    """
    provider = find(spec)
    path = f"analyzers.{spec.name}"
    settings_type: Any = provider.settings_type
    context = Context(
        name=spec.name,
        clock=SystemClock(),
        telemetry=Registry(),
        settings=structure(spec.settings, settings_type, path, {}),
        state_dir=Path(tempfile.gettempdir()),
        secret=_no_secret,
        evidence=_nowhere,
        pacer=_Immediate(),
    )
    return provider.open(context)


def _providers(yielded: Iterable[Provider[Any]]) -> Iterator[Provider[Any]]:
    for provider in yielded:
        if not isinstance(provider, Provider):
            raise PluginError(f"{provider!r} is no Provider")
        yield provider


class _Immediate:
    async def turn(self, priority: Priority, messages: int = 1) -> float:
        return 0.0


def _no_secret(_: str) -> None:
    return None


def _nowhere(_: Evidence) -> None:
    """Analyzers have no evidence to give."""
