"""P1, P2, P3: what a cached read costs.

Both sides hold the same 15,000 quotes under the same interned instruments and read the same
random order of them. The peer is ``cachetools.LRUCache.get``, which keeps no deadlines and no
statistics.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import attrs
import cachetools
from alluse_cache.settings import LruSettings

from alluse_core.clock import SystemClock
from alluse_core.host import Host
from alluse_core.model import Instrument, Quote
from alluse_core.ports import Broker, BrokerCapabilities, QuoteCache
from alluse_core.quotes import Quotes
from alluse_core.settings import QuotesSettings
from alluse_core.telemetry import Registry
from alluse_core.testing import make_context
from benchmarks.measure import Result, in_turn, per_operation

ENTRIES = 15_000
LASTING = 1e6
QUICK = {"reads": 200, "rounds": 2, "entries": 50}


def run(*, reads: int = 50_000, rounds: int = 31, entries: int = ENTRIES) -> Iterator[Result]:
    """Yield P1 for both implementations, P2 and P3."""
    order = random.Random(1)
    instruments = [Instrument.stock(f"S{index}") for index in range(entries)]
    keys = [order.choice(instruments) for _ in range(reads)]
    for implementation in ("cachebox", "python"):
        with TemporaryDirectory() as folder:
            quotes = _open(implementation, instruments, Path(folder))
            yield _p1(implementation, quotes, keys, instruments, rounds)
            if implementation == "cachebox":
                yield _p2(quotes, keys, rounds)
                yield _p3(keys, rounds)


def _p1(
    implementation: str,
    quotes: Quotes,
    keys: Sequence[Instrument],
    instruments: Sequence[Instrument],
    rounds: int,
) -> Result:
    peer: cachetools.LRUCache[Instrument, Quote] = cachetools.LRUCache(len(instruments))
    for instrument in instruments:
        peer[instrument] = Quote(instrument, 1.0, 1.01)
    turns = in_turn(
        _reading(lambda: quotes.cached, keys),
        _reading(lambda: peer.get, keys),
        operations=len(keys),
        rounds=rounds,
    )
    return Result(
        "P1" if implementation == "cachebox" else "P1 (python)",
        f"cached read, {len(instruments):,} entries, {implementation}",
        turns.ratio,
        1.0,
        False,
        per_operation(turns.ours),
        f"cachetools LRUCache.get: {per_operation(turns.peer)}",
        rounds,
        turns.spread,
    )


def _p2(quotes: Quotes, keys: Sequence[Instrument], rounds: int) -> Result:
    loop = asyncio.new_event_loop()

    async def awaited() -> int:
        get = quotes.get
        before = len(asyncio.all_tasks())
        for key in keys:
            await get(key)
        return len(asyncio.all_tasks()) - before

    def ours() -> None:
        if loop.run_until_complete(awaited()):
            raise AssertionError("an awaited hit left a task")

    try:
        turns = in_turn(
            ours, _reading(lambda: quotes.cached, keys), operations=len(keys), rounds=rounds
        )
    finally:
        loop.close()
    return Result(
        "P2",
        "awaited cached read, against the synchronous one",
        turns.ratio,
        1.6,
        False,
        per_operation(turns.ours),
        f"quotes.cached: {per_operation(turns.peer)}",
        rounds,
        turns.spread,
    )


def _p3(keys: Sequence[Instrument], rounds: int) -> Result:
    """Compare the same trivial peek through the port with a direct call of its function.

    The work inside would hide the indirection, so the port's method does next to nothing here.
    """
    direct, port = _direct_peek, Ported()
    through = _Holder(port)

    def ours() -> None:
        for key in keys:
            through.cache.peek(key)

    def peer() -> None:
        for key in keys:
            direct(key)

    turns = in_turn(ours, peer, operations=len(keys), rounds=rounds)
    return Result(
        "P3",
        "call through a plugin's port, against a direct call",
        turns.ratio,
        2.5,
        False,
        per_operation(turns.ours),
        f"direct call: {per_operation(turns.peer)}",
        rounds,
        turns.spread,
    )


def _direct_peek(instrument: Instrument) -> Quote | None:
    return None


class NoBroker:
    """The little of a broker that reads which all hit look at."""

    name = "absent"
    capabilities = BrokerCapabilities(streams=False)


class Ported:
    """An object behind a port, whose method does next to nothing."""

    def peek(self, instrument: Instrument) -> Quote | None:
        """Return None."""
        return None


@attrs.define
class _Holder:
    cache: Ported


def _reading(
    resolve: Callable[[], Callable[[Instrument], object]], keys: Sequence[Instrument]
) -> Callable[[], None]:
    def side() -> None:
        read = resolve()
        for key in keys:
            read(key)

    return side


def _open(implementation: str, instruments: Sequence[Instrument], folder: Path) -> Quotes:
    """Return the service over the plugin's cache, opened by the host as a runtime does."""
    clock, telemetry = SystemClock(), Registry()
    settings = LruSettings(len(instruments), implementation)  # type: ignore[arg-type]
    context = make_context(
        name="lru", settings=settings, clock=clock, telemetry=telemetry, state_dir=folder
    )
    cache: QuoteCache = Host(safe_mode=True).open("cache", "lru", context)
    service = Quotes(
        broker=cast("Broker", NoBroker()),
        cache=cache,
        clock=clock,
        telemetry=telemetry,
        settings=QuotesSettings(ttl=LASTING, max_age=LASTING),
    )
    for instrument in instruments:
        service.put(Quote(instrument, 1.0, 1.01))
    return service
