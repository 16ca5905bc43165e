"""What of a chain is chosen and what it costs, and a reading that gives way. Without a network."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal

import pytest

from alluse_core.errors import InstrumentNotFound, RequestFailed, UsageError
from alluse_core.model import ChainWindow, Instrument, OptionParameters, Quote, Right
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.quotes.chain_plan import choose_class, choose_expiries, choose_strikes, cost_of
from alluse_core.quotes.chains import Chains
from alluse_core.testing import VirtualClock

AAPL = Instrument.stock("AAPL")
DAYS = tuple(date(2026, month, 16) for month in (1, 2, 3, 4))
STRIKES = tuple(Decimal(strike) for strike in range(80, 121, 5))


def listed(name: str = "AAPL", exchange: str = "SMART") -> OptionParameters:
    return OptionParameters(AAPL, exchange, name, Decimal(100), DAYS, STRIKES)


def test_the_class_of_the_underlyings_own_name_comes_first() -> None:
    offered = [listed("2AAPL"), listed(exchange="CBOE"), listed()]
    assert choose_class(AAPL, offered, ChainWindow()) == listed()
    assert choose_class(AAPL, offered, ChainWindow(trading_class="2AAPL")) == listed("2AAPL")
    with pytest.raises(InstrumentNotFound, match="class ZZZ"):
        choose_class(AAPL, offered, ChainWindow(trading_class="ZZZ"))
    with pytest.raises(InstrumentNotFound, match="no options are listed"):
        choose_class(AAPL, [], ChainWindow())


def test_expiries_are_the_next_ones_within_the_days_given() -> None:
    today = date(2026, 1, 17)
    assert choose_expiries(listed(), ChainWindow(expiries=2), today) == DAYS[1:3]
    on_the_day = choose_expiries(listed(), ChainWindow(expiries=1), DAYS[0])
    assert on_the_day == DAYS[:1], "an option lives on the day of its expiry"
    late = ChainWindow(expiries=9, first_day=date(2026, 3, 1), last_day=date(2026, 3, 31))
    assert choose_expiries(listed(), late, today) == DAYS[2:3]


@pytest.mark.parametrize(
    ("window", "price", "strikes"),
    [
        (ChainWindow(strikes=3), 101.0, (95, 100, 105)),
        (ChainWindow(strikes=2), 102.5, (100, 105)),
        (ChainWindow(strikes=1), 102.5, (100,)),
        (ChainWindow(strikes=3), 1000.0, (110, 115, 120)),
        (ChainWindow(strikes=9, width=0.05), 100.0, (95, 100, 105)),
        (ChainWindow(strikes=9, width=0.001), 102.0, ()),
    ],
)
def test_strikes_are_the_nearest_to_the_price(
    window: ChainWindow, price: float, strikes: tuple[int, ...]
) -> None:
    assert choose_strikes(listed(), window, price) == tuple(map(Decimal, strikes))


def test_a_cost_counts_each_message_and_bounds_the_time() -> None:
    pacer = SlidingWindowPacer(VirtualClock(), 50)
    cost = cost_of(
        contracts=100,
        unknown_expiries=2,
        free_lines=30,
        pace=pacer.seconds_for,
        dwell=math.nan,
        timeout=4.0,
    )
    assert (cost.contracts, cost.lines, cost.messages) == (100, 30, 203)
    assert cost.least_seconds == pytest.approx((203 - 8) / 40)
    assert math.isnan(cost.seconds)
    assert cost.most_seconds == pytest.approx(cost.least_seconds + 4 * 4.0)


@pytest.mark.parametrize(("rate", "messages"), [(50, 203), (50, 5), (10, 35), (0, 1000)])
def test_what_the_pacer_says_of_many_messages_is_what_they_take(rate: int, messages: int) -> None:
    async def story() -> None:
        clock = VirtualClock()
        pacer = SlidingWindowPacer(clock, rate)
        began, turns = clock.monotonic(), 0

        async def send() -> None:
            nonlocal turns
            from alluse_core.ports import Priority

            for _ in range(messages):
                await pacer.turn(Priority.DATA)
                turns += 1

        sending = asyncio.ensure_future(send())
        told = pacer.seconds_for(messages)
        while not sending.done():
            await clock.advance(0.005)
        assert clock.monotonic() - began == pytest.approx(told, abs=0.02 + 0.02 * told)
        assert turns == messages

    asyncio.run(story())


class Stream:
    """A line of the fake."""

    def __init__(self, instrument: Instrument, venue: Venue) -> None:
        self.instrument = instrument
        self.alive_at = 0.0
        self.refused = ""
        self._venue = venue

    def close(self) -> None:
        """Give the line back."""
        self._venue.open.pop(self.instrument, None)


class Venue:
    """Lists one class; its options answer when ``show`` is called, or are refused."""

    name = "venue"

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.open: dict[Instrument, tuple[Stream, Callable[[Quote], None]]] = {}
        self.data_up = True
        self.most = 0
        self.refuse: frozenset[Right] = frozenset()

    @property
    def free_lines(self) -> int:
        """How many are left."""
        return self.lines - len(self.open)

    async def option_parameters(self, underlying: Instrument) -> Sequence[OptionParameters]:
        return [listed()]

    def options_known(self, parameters: OptionParameters, expiry: date) -> bool:
        return False

    async def options(self, parameters: OptionParameters, expiry: date) -> Sequence[Instrument]:
        return [
            parameters.option(expiry, strike, right) for strike in STRIKES[1:] for right in Right
        ]

    async def open_line(self, instrument: Instrument, sink: Callable[[Quote], None]) -> Stream:
        assert self.free_lines > 0, "more lines were taken than are free"
        if instrument.right in self.refuse:
            raise RequestFailed("no subscription (code 354)", code=354)
        stream = Stream(instrument, self)
        self.open[instrument] = (stream, sink)
        self.most = max(self.most, len(self.open))
        await asyncio.sleep(0)
        return stream

    def show(self) -> None:
        """Answer on every line."""
        for instrument, (_, sink) in tuple(self.open.items()):
            sink(Quote(instrument, 1.0, 1.1))


def chains_of(venue: Venue, clock: VirtualClock, wanted: Callable[[], bool]) -> Chains:
    async def price(underlying: Instrument) -> Quote:
        return Quote(underlying, 99.9, 100.1)

    return Chains(
        venue,  # type: ignore[arg-type]
        clock,
        price,
        pace=lambda _: 0.0,
        wanted=wanted,
        lend=lambda _: None,
    )


def test_no_line_is_taken_while_somebody_else_waits_for_one() -> None:
    async def story() -> None:
        clock, venue, waits = VirtualClock(), Venue(3), True
        chains = chains_of(venue, clock, lambda: waits)
        plan = await chains.plan(AAPL, ChainWindow(expiries=1, strikes=4))
        reading = asyncio.ensure_future(chains.read(plan))
        await clock.advance(1.0)
        assert not venue.open
        waits = False
        await clock.advance(0.2)
        assert len(venue.open) == 3
        waits = True
        venue.show()
        await clock.advance(0.2)
        assert not venue.open, "what was answered is given back, and no new one taken"
        waits = False
        while not reading.done():
            await clock.advance(0.1)
            venue.show()
        assert (await reading).complete
        assert venue.most == 3

    asyncio.run(story())


def test_each_option_that_has_no_quote_says_why() -> None:
    async def story() -> None:
        clock, venue = VirtualClock(), Venue(50)
        venue.refuse = frozenset({Right.PUT})
        chains = chains_of(venue, clock, lambda: False)
        plan = await chains.plan(AAPL, ChainWindow(expiries=1, strikes=9))
        reading = asyncio.ensure_future(chains.read(plan))
        await clock.advance(5.0)
        chain = await reading
        why = {(row.option.strike, row.option.right): row.missing for row in chain.rows}
        assert why[Decimal(80), Right.CALL] == "it is not listed"
        assert "354" in why[Decimal(100), Right.PUT]
        assert why[Decimal(100), Right.CALL].startswith("no quote came within 4")
        assert not venue.open

    asyncio.run(story())


def test_a_reading_that_is_cancelled_gives_all_lines_back() -> None:
    async def story() -> None:
        clock, venue = VirtualClock(), Venue(5)
        chains = chains_of(venue, clock, lambda: False)
        plan = await chains.plan(AAPL)
        reading = asyncio.ensure_future(chains.read(plan))
        await clock.advance(0.2)
        assert len(venue.open) == 5
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert not venue.open

    asyncio.run(story())


def test_a_broker_without_chains_is_named() -> None:
    class Plain:
        name = "plain"

    async def story() -> None:
        chains = chains_of(Plain(), VirtualClock(), lambda: False)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="'plain' knows no option chains"):
            await chains.plan(AAPL)

    asyncio.run(story())
