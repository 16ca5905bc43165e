"""Registers alluse-cache with ALL-USE."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from alluse_cache.settings import LruSettings
from alluse_core import Context, Provider, hookimpl

if TYPE_CHECKING:
    from alluse_core.ports import QuoteCache


@hookimpl
def alluse_caches() -> Iterable[Provider[QuoteCache]]:
    """Offer the cache ``lru``."""
    yield Provider("lru", _open, LruSettings, "exact least-recently-used, deadline per entry")


def _open(context: Context) -> QuoteCache:
    from alluse_cache.lru import open_lru
    from alluse_cache.measure import observe

    settings = context.settings
    assert isinstance(settings, LruSettings)
    cache = open_lru(settings, context.clock)
    observe(cache, context.telemetry)
    return cache
