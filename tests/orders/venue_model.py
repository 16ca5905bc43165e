"""The order service over a broker that misbehaves, as a state machine with an oracle."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import attrs
from desk_floor import AAPL, Floor, Stage, buy, floor, sell
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alluse_core.errors import AllUseError
from alluse_core.model import BrokerStatus, LinkReport, LinkState, OrderIdentity, OrderState, Side
from alluse_core.orders.recovery import rebuild
from alluse_core.ports import ALLOW, BrokerCapabilities, Decision, OrderView, deny
from alluse_core.testing import VirtualClock
from alluse_core.testing.fakes import BrokerOrder, FakeBroker

T = TypeVar("T")
CAP = 300
S = OrderState
_SAME = ("order", "state", "order_id", "client_id", "perm_ids", "fills", "executed")


class Wire(FakeBroker):
    """A fake broker whose words may be held back, repeated, shuffled or lost on their way."""

    delivery = "straight"
    held_back: list[Any]

    def say(self, item: Any) -> None:
        if isinstance(item, LinkReport):
            super().say(item)
        elif self.link is not LinkState.UP or self.delivery == "drop":
            return
        elif self.delivery == "hold":
            self.held_back.append(item)
        else:
            super().say(item)
            if self.delivery == "twice":
                super().say(item)

    def release(self, order: Any) -> None:
        """Deliver what was held back, in an order of the test's."""
        items, self.held_back = self.held_back, []
        order(items)
        if self.link is LinkState.UP:
            for item in items:
                FakeBroker.say(self, item)


def capped(order: Any, view: OrderView) -> Decision:
    """Keep the position within the cap if all that works on the order's side filled."""
    working = [each.remaining for each in view.working(AAPL) if each.side is order.side]
    after = view.position(AAPL) * order.side.sign + sum(working) + order.quantity
    return ALLOW if after <= CAP else deny("beyond the cap", limit=CAP, value=after, source="test")


class OrderModel(RuleBasedStateMachine):
    """Whatever happens in whatever order, what is believed never contradicts the broker."""

    def __init__(self) -> None:
        super().__init__()
        # What a sync costs is not what this is about, and there are thousands of them.
        memory = Path("/dev/shm")
        folder = tempfile.mkdtemp(prefix="alluse-model-", dir=memory if memory.is_dir() else None)
        self.folder = Path(folder)
        self.loop = asyncio.new_event_loop()
        self.clock = VirtualClock()
        self.numbers = itertools.count(1)
        self.keys: list[str] = []
        # The oracle: what the rules made happen at the broker, and nothing that the service says.
        self.executed: dict[str, tuple[str, Decimal]] = {}
        self.late = Decimal(0)
        self.broker = Wire(
            lambda _: None,
            clock=self.clock,
            capabilities=BrokerCapabilities(numeric_order_ids=True),
        )
        self.broker.held_back = []
        self.stack = contextlib.AsyncExitStack()
        self.desk: Floor = self._run(self._open())

    async def _open(self) -> Floor:
        desk = floor(
            self.folder, broker=self.broker, clock=self.clock, stages=(Stage(capped, "cap"),)
        )
        return await self.stack.enter_async_context(desk)

    def _run(self, what: Awaitable[T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(30):
                return await what

        return self.loop.run_until_complete(bounded())

    def _try(self, call: Awaitable[Any], seconds: float = 0.0) -> Any:
        async def tried() -> Any:
            result = None
            with contextlib.suppress(AllUseError):
                result = await call
            await self.desk.settle(seconds)
            return result

        return self._run(tried())

    def teardown(self) -> None:
        try:
            self.settle_with_the_broker()
        finally:
            self._run(self.stack.aclose())
            self.loop.close()
            shutil.rmtree(self.folder)

    # --- the agent --------------------------------------------------------------------------

    @rule(side=st.sampled_from(Side), quantity=st.sampled_from([10, 60, 100]))
    def submit(self, side: Side, quantity: int) -> None:
        key = f"key-{next(self.numbers)}"
        self.keys.append(key)
        make = buy if side is Side.BUY else sell
        self._try(self.desk.orders.submit(make(key, quantity)))

    def _key(self, data: Any) -> str:
        key: str = data.draw(st.sampled_from(self.keys))
        return key

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def submit_again(self, data: Any) -> None:
        key = self._key(data)
        with contextlib.suppress(AllUseError):
            self._try(self.desk.orders.submit(self.desk.orders.get(key).order))

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), quantity=st.sampled_from([5, 50, 120]))
    def modify(self, data: Any, quantity: int) -> None:
        self._try(self.desk.orders.modify(self._key(data), quantity=quantity))

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        self._try(self.desk.orders.cancel(self._key(data)))

    @rule(crash=st.booleans())
    def restart(self, crash: bool) -> None:
        """Stop, or end without a word; the journal is what remains."""
        self.desk.orders._life.started = not crash
        self._run(self.stack.aclose())
        self.broker.held_back.clear()
        self.desk = self._run(self._open())

    # --- the broker -------------------------------------------------------------------------

    def _orders(self, *, is_open: bool) -> list[BrokerOrder]:
        return [order for order in self.broker.orders.values() if order.is_open is is_open]

    def _fill(self, order: BrokerOrder, quantity: Decimal) -> None:
        fill = self.broker.fill(order.message.order_ref, quantity)
        self.executed[fill.execution_id] = (order.message.order_ref, quantity * fill.side.sign)
        self._run(self.desk.settle())

    @precondition(lambda self: self._orders(is_open=True))
    @rule(data=st.data(), part=st.booleans())
    def fill(self, data: Any, part: bool) -> None:
        order = data.draw(st.sampled_from(self._orders(is_open=True)))
        if order.remaining > 0:
            self._fill(order, order.remaining if not part else min(order.remaining, Decimal(7)))

    @precondition(lambda self: self._orders(is_open=False))
    @rule(data=st.data())
    def fill_late(self, data: Any) -> None:
        order = data.draw(st.sampled_from(self._orders(is_open=False)))
        if order.status is BrokerStatus.CANCELED and order.remaining > 0:
            quantity = min(order.remaining, Decimal(3))
            self.late += quantity
            self._fill(order, quantity)

    @precondition(lambda self: self._orders(is_open=True))
    @rule(data=st.data(), reject=st.booleans())
    def end_unasked(self, data: Any, reject: bool) -> None:
        order = data.draw(st.sampled_from(self._orders(is_open=True)))
        if reject and not order.filled:
            self.broker.reject(order.message.order_ref)
        else:
            self.broker.cancel_by_broker(order.message.order_ref)
        self._run(self.desk.settle())

    @rule(mode=st.sampled_from(["accept", "accept", "silent", "lose", "reject"]))
    def answer(self, mode: str) -> None:
        self.broker.mode = mode

    @rule(cancels=st.booleans(), modifies=st.booleans())
    def answer_commands(self, cancels: bool, modifies: bool) -> None:
        self.broker.answers_cancels, self.broker.answers_modifies = cancels, modifies

    @rule(delivery=st.sampled_from(["straight", "twice", "hold", "drop"]))
    def deliver(self, delivery: str) -> None:
        self.broker.delivery = delivery

    @rule(random=st.randoms(use_true_random=False))
    def deliver_shuffled(self, random: Any) -> None:
        self.broker.release(random.shuffle)
        self._run(self.desk.settle())

    @rule(state=st.sampled_from([LinkState.DOWN, LinkState.DEGRADED, LinkState.UP]))
    def link(self, state: LinkState) -> None:
        self.broker.turn(state)
        self._run(self.desk.settle())

    @rule(complete=st.booleans(), fail=st.booleans())
    def lists(self, complete: bool, fail: bool) -> None:
        self.broker.lists_complete, self.broker.lists_fail = complete, fail

    @precondition(lambda self: self._orders(is_open=True))
    @rule()
    def order_by_hand(self) -> None:
        order = self._orders(is_open=True)[0]
        report = self.broker.report_of(order)
        self.broker.foreign = [attrs.evolve(report, identity=OrderIdentity("", 77, 0, 0))]

    @rule(seconds=st.sampled_from([1.0, 12.0]))
    def wait(self, seconds: float) -> None:
        self._run(self.desk.settle(seconds))

    # --- what must hold ---------------------------------------------------------------------

    @rule()
    def settle_with_the_broker(self) -> None:
        """With the link up and all words delivered, what is believed is what is so."""
        broker = self.broker
        broker.delivery, broker.lists_complete, broker.lists_fail = "straight", True, False
        broker.release(lambda items: None)
        broker.turn(LinkState.UP)
        self._run(self.desk.settle(1.0))
        self._run(self.desk.orders.reconcile("fake"))
        self._run(self.desk.settle())
        truth = sum((change for _, change in self.executed.values()), Decimal(0))
        believed = sum((row.quantity for row in self.desk.orders.positions().rows), Decimal(0))
        assert believed == truth, f"position {believed}, the broker's is {truth}"
        for live in self.desk.orders._book:
            known = {fill.execution_id: fill.quantity for fill in live.fills.values()}
            real = {name: abs(q) for name, (ref, q) in self.executed.items() if ref == live.ref}
            assert known == real, f"fills of {live.key}: {known}, the broker's are {real}"
            order = broker.orders.get(live.ref)
            if order is not None:
                assert order.is_open is not live.state.is_terminal, (live.key, live.state, order)
        for ref in broker.orders:
            assert self.desk.orders._book.by_reference(ref) is not None, f"{ref} is lost"
        self._rebuilt()

    def _rebuilt(self) -> None:
        self._run(self.desk.orders.flush())
        with self.desk.journal.read() as reader:
            for live in self.desk.orders._book:
                again = rebuild(reader.story(live.key))
                for name in _SAME:
                    assert getattr(again, name) == getattr(live, name), (live.key, name)

    @invariant()
    def each_order_is_sent_once_and_no_number_twice(self) -> None:
        placed = [m for kind, what in self.broker.sent if kind == "place" for m in what]  # type: ignore[attr-defined]
        for names in (
            [message.order_ref for message in placed],
            [message.order.key for message in placed],
            [message.order_id for message in placed],
        ):
            twice = [name for name, count in Counter(names).items() if count > 1]
            assert not twice, f"sent twice: {twice}"

    @invariant()
    def nothing_is_believed_that_the_broker_contradicts(self) -> None:
        for live in self.desk.orders._book:
            for fill in live.fills.values():
                ref, change = self.executed[fill.execution_id]
                assert (ref, abs(change)) == (live.ref, fill.quantity)
            assert sum(fill.quantity for fill in live.fills.values()) == live.executed
            order = self.broker.orders.get(live.ref)
            if order is None:
                assert live.state is not S.FILLED
                continue
            assert live.state is not S.DENIED, f"{live.key} was sent"
            if live.state is S.FILLED:
                assert order.remaining <= 0, f"{live.key} is not filled"
            elif live.state.is_terminal:
                assert not order.is_open, f"{live.key} is {live.state}, and works at the broker"

    @invariant()
    def what_may_happen_stays_within_the_cap(self) -> None:
        position = sum((change for _, change in self.executed.values()), Decimal(0))
        for side in Side:
            works = sum(
                (
                    max(order.remaining, Decimal(0))
                    for order in self._orders(is_open=True)
                    if order.message.order.side is side
                ),
                Decimal(0),
            )
            reach = position * side.sign + works
            assert reach <= CAP + self.late, f"{side.value} could reach {reach}"
