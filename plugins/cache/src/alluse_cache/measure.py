"""What the cache says about itself, read once a tick."""

from __future__ import annotations

from alluse_cache.lru import LruCache
from alluse_core.telemetry import Registry

_COMPONENT = "market_data_system"


def observe(cache: LruCache, telemetry: Registry) -> None:
    """Offer the statistics to ``telemetry`` as ``market_data_system.cache_*``.

    ``cache_hit_rate_tick`` is over the last tick; the headline ``cache_hit_rate``, over a minute,
    is made of the counts by the core.
    """
    for name in ("hits", "misses", "expired", "stores", "evictions", "size", "capacity"):
        telemetry.observe(_COMPONENT, f"cache_{name}", _Statistic(cache, name))
    telemetry.observe(_COMPONENT, "cache_hit_rate_tick", _HitRate(cache), "%")


class _Statistic:
    def __init__(self, cache: LruCache, name: str) -> None:
        self._cache = cache
        self._name = name

    def __call__(self) -> float:
        return float(getattr(self._cache.stats(), self._name))


class _HitRate:
    """Percent of the peeks since the last call that hit; None where nobody peeked."""

    def __init__(self, cache: LruCache) -> None:
        self._cache = cache
        self._hits = 0
        self._peeks = 0

    def __call__(self) -> float | None:
        stats = self._cache.stats()
        peeks = stats.hits + stats.misses
        hits_since, peeks_since = stats.hits - self._hits, peeks - self._peeks
        self._hits, self._peeks = stats.hits, peeks
        return 100.0 * hits_since / peeks_since if peeks_since else None
