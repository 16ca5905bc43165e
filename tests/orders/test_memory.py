"""The memory of the order path does not grow with the orders that ended.

``ALLUSE_SOAK_ORDERS=50000`` trades that many, ``ALLUSE_SECONDS`` ends it after so many seconds.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import attrs
from desk_floor import Floor, buy, floor, run, sell

from alluse_core.model import Execution, OrderIdentity, OrderState
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.reader import JournalReader
from alluse_core.settings import OrdersSettings

_KEPT = 50
# In steps of a hundred.
_ORDERS = int(os.environ.get("ALLUSE_SOAK_ORDERS", "800"))
_SECONDS = float(os.environ.get("ALLUSE_SECONDS", "inf"))
_SETTINGS = OrdersSettings(
    stages=(),
    settle_seconds=0.0,
    breaker_failures=0,
    breaker_alike=0,
    reconcile_every=3_600.0,
)


def _tables(desk: Floor) -> dict[str, int]:
    """Return the length of every collection that the order path holds on to."""
    orders = desk.orders
    found: dict[str, int] = {}
    parts = {
        "book": orders._book,
        "recent": orders._book.recent,
        "applier": orders._applier,
        "fills": orders._parts.fills,
        "commissions": orders._parts.commissions,
        "adjustments": orders._parts.adjustments,
        "journal": orders._journal,
        "pipeline": orders._pipeline,
        "commands": orders._commands,
        "control": orders._control,
        "overdue": orders._overdue,
        "gate": orders._gate,
        **{f"outbox {name}": each for name, each in orders._outboxes.items()},
        **{f"ids {name}": each for name, each in orders._parts.sequences.items()},
        **{f"reconciler {name}": each for name, each in orders._reconcilers.items()},
        **{f"holdings {name}": each._holdings for name, each in orders._reconcilers.items()},
        **{f"breaker {name}": each for name, each in orders._desk.breakers.items()},
    }
    for part, owner in parts.items():
        names = list(getattr(owner, "__dict__", {})) or [
            field.name for field in attrs.fields(type(owner))
        ]
        for name in names:
            value = getattr(owner, name)
            if isinstance(value, dict | list | set | tuple):
                found[f"{part}.{name}"] = len(value)
    return found


async def _trade(desk: Floor, first: int, count: int, ran: Callable[[int], None]) -> int:
    """Let orders be filled, cancelled and refused, a hundred in each minute; return how many."""
    until = time.monotonic() + _SECONDS
    for start in range(first, first + count, 100):
        if time.monotonic() > until:
            return start - first
        numbers = range(start, start + 100)
        for kind, mode in enumerate(("fill", "fill", "accept", "reject")):
            desk.broker.mode = mode
            side = sell if kind == 1 else buy
            chosen = [side(f"order-{number}", 1) for number in numbers if number % 4 == kind]
            await asyncio.gather(*(desk.orders.submit(order) for order in chosen))
            await desk.settle()
            if kind == 2:
                await asyncio.gather(*(desk.orders.cancel(order.key) for order in chosen))
        await desk.settle(60)
        desk.broker.orders.clear()
        desk.broker.fills.clear()
        desk.broker.sent.clear()
        ran(100)
    return count


def _grown(before: dict[str, int], after: dict[str, int]) -> dict[str, tuple[int, int]]:
    return {
        name: (before.get(name, 0), size)
        for name, size in after.items()
        if size > max(before.get(name, 0), 4 * _KEPT) + _KEPT
    }


def _alive(kind: type) -> int:
    gc.collect()
    return sum(type(each) is kind for each in gc.get_objects())


def test_ended_orders_leave_memory_and_stay_readable(
    tmp_path: Path, ran: Callable[[int], None]
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=_SETTINGS) as desk:
            desk.orders._book.keep_ended = _KEPT
            await _trade(desk, 0, 400, lambda _: None)
            before = _tables(desk)
            tracemalloc.start()
            try:
                start, _ = tracemalloc.get_traced_memory()
                traded = await _trade(desk, 400, _ORDERS, ran)
                end, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            # These have bounds of their own, beyond what is traded here.
            bounded = (
                *("commissions._owners", "commissions._costs"),
                *("recent._times", "recent._orders"),
            )
            grown = _grown(before, _tables(desk))
            assert {name: sizes for name, sizes in grown.items() if name not in bounded} == {}
            # Of each of the newest fills two names are kept, to know its costs by.
            assert end - start < 4_000_000 + 500 * min(traded, 50_000)
            assert _alive(LiveOrder) < _KEPT + 10, "an order that ended is held by something else"
            assert len(desk.orders._book) <= _KEPT
            # What left memory is found again by its key, and by a late word of the broker.
            assert desk.orders.get("order-2").state is OrderState.CANCELED
            assert desk.orders.get("order-0").state is OrderState.FILLED
        with JournalReader(tmp_path / "journal.db") as reader:
            assert sum(reader.counts().values()) == 400 + traded

    asyncio.run(scenario())


def test_what_is_kept_of_fills_is_bounded(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            commissions = desk.orders._parts.commissions
            stranger = OrderIdentity("", 77, 0, 0)
            desk.broker.mode = "fill"
            await desk.orders.submit(buy("one"))
            fill = desk.broker.fills[0]
            for number in range(50_500):
                other = attrs.evolve(fill, identity=stranger, execution_id=f"{number:08x}.01")
                assert isinstance(other, Execution)
                commissions.expect(other.execution_id, None)
                desk.orders._book.stray(other, other.execution_id)
            assert len(commissions._owners) == 50_000
            assert len(desk.orders._book._strays) == 50_000

    run(scenario())
