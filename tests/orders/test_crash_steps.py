"""A process that dies before or after any record: of cancels, changes, groups and persons' words.

test_crash.py kills real processes at the seams of a single order; here the disk and the broker are
copied at each record of a longer story, and a new process starts over each copy.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
from desk_floor import AAPL, Floor, buy, floor, run

from alluse_core.errors import OrderNotFound
from alluse_core.model import OrderGroup, OrderState
from alluse_core.orders.committer import Done, InlineCommitter
from alluse_core.orders.records import Row
from alluse_core.settings import OrdersSettings
from alluse_core.testing.fakes import BrokerOrder, FakeBroker

S = OrderState
ASKS = OrdersSettings(stages=(), settle_seconds=0.0, approve_start=True)
KEYS = ("one", "two", "lost", "a", "b", "e", "e/profit", "e/stop")


@attrs.frozen
class Moment:
    """What a death would leave: the disk, the broker, and what was asked or done by then."""

    disk: Path
    orders: dict[str, BrokerOrder]
    broker: FakeBroker
    done: frozenset[str]


class Photographer(InlineCommitter):
    """Copies disk and broker before and after each batch."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.broker: FakeBroker | None = None
        self.done: set[str] = set()
        self.moments: list[Moment] = []

    def commit(self, rows: Sequence[Row], done: Done) -> None:
        self._keep()
        super().commit(rows, lambda commit: (self._keep(), done(commit))[0])

    def _keep(self) -> None:
        if self.broker is None:
            return
        disk = self.folder / f"moment-{len(self.moments)}"
        shutil.copytree(self.folder / "now", disk)
        orders = {ref: copy.copy(order) for ref, order in self.broker.orders.items()}
        broker = FakeBroker(lambda _: None, clock=self.broker.clock)
        broker._perm_ids, broker._numbers = self.broker._perm_ids, self.broker._numbers
        broker.orders, broker.held = orders, dict(self.broker.held)
        broker.fills = list(self.broker.fills)
        self.moments.append(Moment(disk, dict(orders), broker, frozenset(self.done)))


async def story(desk: Floor, done: set[str]) -> None:
    """Do one of each: a change, a cancel, groups, a person's word for a lost order, an approval."""
    orders, broker = desk.orders, desk.broker
    assert orders.unapproved
    done.add("approving")
    await orders.approve(by="Ada")
    for key in ("one", "two"):
        await orders.submit(buy(key))
        await desk.settle()
    await orders.modify("one", quantity=150)
    await orders.cancel("two")
    await desk.settle()
    await orders.submit(OrderGroup.oca(buy("a"), buy("b"), key="pair"))
    await desk.settle()
    entry = OrderGroup.bracket(buy("e"), take_profit="110", stop="90")
    group = await orders.submit(entry)
    await desk.settle()
    broker.fill(group.tickets[0].order_ref)
    await desk.settle()
    broker.mode = "lose"
    await orders.submit(buy("lost"))
    await desk.settle(60)
    assert orders.get("lost").state is S.UNKNOWN
    await orders.resolve("lost", S.CANCELED, by="Ada")
    done.add("resolution")


async def judge(moment: Moment, clock: Any) -> None:
    broker = moment.broker
    async with floor(moment.disk, broker=broker, clock=clock, settings=ASKS) as desk:
        await desk.settle(60)
        waiting = {each.kind for each in desk.orders.unapproved}
        assert "approving" in moment.done or waiting, "nobody approved what the start found"
        again = [m.order.key for kind, what in broker.sent if kind == "place" for m in what]  # type: ignore[attr-defined]
        assert not again, "what may have left is not sent by itself"
        known = {}
        for key in KEYS:
            try:
                known[key] = desk.orders.get(key)
            except OrderNotFound:
                continue
        by_ref = {ticket.order_ref: key for key, ticket in known.items()}
        assert set(broker.orders) <= set(by_ref), "nothing is at the broker that is not known"
        for family in (("a", "b"), ("e", "e/profit", "e/stop")):
            assert set(family) <= set(known) or not set(family) & set(known), "whole or not at all"
        for key, ticket in known.items():
            there = broker.orders.get(ticket.order_ref)
            if there is None:
                assert ticket.state in (S.UNKNOWN, S.CANCELED, S.DENIED)
                assert ticket.state is S.UNKNOWN or key == "lost" or not ticket.known.filled
            else:
                assert ticket.state.is_terminal is not there.is_open
                assert ticket.known.filled == there.filled
                assert ticket.order.quantity == there.message.order.quantity
        if "resolution" in moment.done:
            assert known["lost"].state is S.CANCELED
        held = {row.instrument: row.quantity for row in desk.orders.positions().rows}
        assert held == {place[1]: quantity for place, quantity in broker.held.items() if quantity}


def test_a_death_beside_any_record_loses_nothing_and_sends_nothing_twice(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "now").mkdir()
        async with floor(tmp_path / "now", settings=ASKS) as before:
            pass
        before.broker.held["DU1", AAPL] = Decimal(30)
        photographer = Photographer(tmp_path)
        photographer.broker = before.broker
        async with floor(
            tmp_path / "now",
            settings=ASKS,
            broker=before.broker,
            clock=before.clock,
            committer=photographer,
        ) as desk:
            await story(desk, photographer.done)
            photographer.broker = None
        assert len(photographer.moments) > 30
        for moment in photographer.moments:
            await judge(moment, before.clock)

    run(scenario())
