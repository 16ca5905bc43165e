"""What the plugin offers, and what its cache tells the telemetry."""

from __future__ import annotations

import subprocess
import sys

from alluse_cache import plugin
from alluse_cache.settings import LruSettings

from alluse_core.model import Instrument, Quote
from alluse_core.telemetry import Registry
from alluse_core.testing import VirtualClock, make_context


def readings(telemetry: Registry) -> dict[str, float]:
    return {sample.series.metric: sample.value for sample in telemetry.collect(1000.0)}


def test_the_plugin_offers_one_cache_named_lru() -> None:
    (provider,) = plugin.alluse_caches()
    assert provider.name == "lru"
    assert provider.settings_type is LruSettings


def test_an_opened_cache_tells_its_statistics_each_tick() -> None:
    (provider,) = plugin.alluse_caches()
    telemetry, clock = Registry(), VirtualClock()
    cache = provider.open(
        make_context(settings=LruSettings(capacity=2), clock=clock, telemetry=telemetry)
    )
    first = readings(telemetry)
    assert first["cache_capacity"] == 2.0
    assert "cache_hit_rate_tick" not in first, "nobody read, so there is no rate"
    quote = Quote(Instrument.stock("AAPL"))
    cache.store(quote, clock.monotonic() + 1.0)
    for symbol in ("AAPL", "AAPL", "AAPL", "MSFT"):
        cache.peek(Instrument.stock(symbol))
    second = readings(telemetry)
    assert second["cache_hit_rate_tick"] == 75.0
    assert (second["cache_hits"], second["cache_misses"]) == (3.0, 1.0)
    assert "cache_hit_rate_tick" not in readings(telemetry), "the rate is over the last tick"


def test_importing_the_plugin_module_imports_no_implementation() -> None:
    code = (
        "import sys, alluse_cache.plugin; "
        "print([m for m in ('cachebox', 'alluse_cache.lru') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
