"""What holds whatever the market and the caller do."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import attrs
from alluse_paper.orders import OrderFilled
from exchange_floor import ACCOUNT, IBM, OTHER, Floor
from hypothesis import given, settings
from hypothesis import strategies as st

from alluse_core.model.instrument import Side
from alluse_core.model.order import OrderState, OrderType, TimeInForce

LIMITED = (OrderType.LIMIT, OrderType.STOP_LIMIT)
PRICES = st.integers(9_990, 10_010).map(lambda cents: cents / 100)
SIZES = st.sampled_from([0, 100, 200, 500])


@attrs.frozen
class Quoted:
    bid: float
    ask: float
    bid_size: float
    ask_size: float

    def act(self, floor: Floor, numbers: list[int]) -> None:
        floor.quote(self.bid, self.ask, self.bid_size, self.ask_size)


@attrs.frozen
class Traded:
    price: float
    size: float

    def act(self, floor: Floor, numbers: list[int]) -> None:
        floor.trade(self.price, self.size)


@attrs.frozen
class Placed:
    side: str
    quantity: int
    price: float | None
    stop: float | None
    account: str
    tif: TimeInForce
    oca: str
    child: bool

    def act(self, floor: Floor, numbers: list[int]) -> None:
        parent = numbers[-1] if self.child and numbers else None
        number = floor.send(
            self.side,
            self.quantity,
            f"{self.price:.2f}" if self.price else "",
            stop=f"{self.stop:.2f}" if self.stop else "",
            account=floor.order(parent).request.account if parent else self.account,
            time_in_force=self.tif,
            oca_group=self.oca,
            parent=parent,
        )
        numbers.append(number)


@attrs.frozen
class Cancelled:
    which: int

    def act(self, floor: Floor, numbers: list[int]) -> None:
        if numbers:
            floor.exchange.cancel(numbers[self.which % len(numbers)])


@attrs.frozen
class Replaced:
    which: int
    quantity: int
    price: float

    def act(self, floor: Floor, numbers: list[int]) -> None:
        if numbers:
            floor.exchange.replace(
                numbers[self.which % len(numbers)],
                quantity=Decimal(self.quantity),
                limit_price=Decimal(f"{self.price:.2f}"),
            )


QUANTITIES = st.sampled_from([1, 50, 100, 300, 700])
ACTIONS = st.lists(
    st.one_of(
        st.builds(Quoted, PRICES, PRICES, SIZES, SIZES),
        st.builds(Traded, PRICES, SIZES),
        st.builds(
            Placed,
            st.sampled_from(["BUY", "SELL"]),
            QUANTITIES,
            st.none() | PRICES,
            st.none() | PRICES,
            st.sampled_from([ACCOUNT, OTHER]),
            st.sampled_from([TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK]),
            st.sampled_from(["", "", "g"]),
            st.booleans(),
        ),
        st.builds(Cancelled, st.integers(0, 20)),
        st.builds(Replaced, st.integers(0, 20), QUANTITIES, PRICES),
    ),
    min_size=4,
    max_size=50,
)


def played(actions: list[object]) -> tuple[Floor, list[int]]:
    floor = Floor(latency_ms=400.0)
    floor.quote(99.98, 100.02, 500, 500)
    numbers: list[int] = []
    for action in actions:
        action.act(floor, numbers)  # type: ignore[attr-defined]
    for _ in range(20):
        floor.run()
    return floor, numbers


@settings(max_examples=250, deadline=None)
@given(ACTIONS)
def test_fills_are_conserved_and_never_outside_a_limit(actions: list[object]) -> None:
    floor, numbers = played(actions)
    fills = [event.execution for event in floor.said if isinstance(event, OrderFilled)]
    assert fills == list(floor.exchange.executions()), "each fill is told once, in order"
    for number in numbers:
        order = floor.order(number)
        own = [fill for fill in fills if fill.number == number]
        assert sum((fill.quantity for fill in own), Decimal(0)) == order.filled
        assert order.filled <= order.request.quantity
        assert (order.state is OrderState.FILLED) == (
            order.filled == order.request.quantity and order.filled > 0
        )
    # A limit may have been replaced since: what counts is the one told with the fill.
    for event in floor.said:
        if isinstance(event, OrderFilled) and event.order.request.order_type in LIMITED:
            assert event.order.request.limit_price is not None
            if event.execution.side is Side.BUY:
                assert event.execution.price <= event.order.request.limit_price
            else:
                assert event.execution.price >= event.order.request.limit_price


@settings(max_examples=250, deadline=None)
@given(ACTIONS)
def test_positions_and_cash_are_the_sum_of_the_fills(actions: list[object]) -> None:
    floor, _ = played(actions)
    position: dict[str, Decimal] = defaultdict(Decimal)
    cash: dict[str, Decimal] = defaultdict(Decimal)
    realized: dict[str, Decimal] = defaultdict(Decimal)
    for fill in floor.exchange.executions():
        position[fill.account] += fill.quantity * fill.side.sign
        cash[fill.account] -= fill.quantity * fill.price * fill.side.sign + fill.commission
        realized[fill.account] += fill.realized
        assert fill.commission >= 0
    for account in (ACCOUNT, OTHER):
        books = floor.exchange.accounts
        assert books.position(account, IBM) == position[account]
        assert books.cash(account)["USD"] == Decimal(10_000_000) + cash[account]
        held = sum((each.realized for each in books.holdings(account)), Decimal(0))
        assert abs(held - realized[account]) < Decimal("1e-15")


@settings(max_examples=250, deadline=None)
@given(ACTIONS)
def test_every_order_gets_an_answer_and_nothing_follows_its_end(actions: list[object]) -> None:
    floor, numbers = played(actions)
    for number in numbers:
        states = [event.order.state for event in floor.said if event.order.number == number]
        assert states, "an order that arrived was answered"
        assert states[-1] is floor.order(number).state
        ended = [index for index, state in enumerate(states) if state.is_terminal]
        if ended:
            rest = {type(e).__name__ for e in floor.said if e.order.number == number}
            after = states[ended[0] + 1 :]
            assert all(state is states[ended[0]] for state in after)
            assert not after or "CommandRefused" in rest


@settings(max_examples=60, deadline=None)
@given(ACTIONS)
def test_the_same_story_ends_the_same(actions: list[object]) -> None:
    one, _ = played(actions)
    other, _ = played(actions)
    assert one.said == other.said
