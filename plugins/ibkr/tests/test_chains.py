"""Option chains over the gateway: the cost first, then quotes through the free lines."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from alluse_gateway import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.synthetic import SyntheticMarket
from ibkr_lab import AAPL, LIBRARIES, Lab, connected, show, until

from alluse_core.clock import SystemClock
from alluse_core.errors import AmbiguousInstrument, InstrumentNotFound
from alluse_core.model import (
    ChainProgress,
    ChainWindow,
    Instrument,
    InstrumentDefinition,
    Quote,
    Right,
    SecurityType,
)
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.quotes.chains import Chains

both = pytest.mark.parametrize("library", LIBRARIES)


class OneDay(SystemClock):
    """The machine's clocks, of which the wall's stands: no midnight lies within a test."""

    def __init__(self) -> None:
        self._moment = super().now()

    def now(self) -> datetime:
        return self._moment


@attrs.define
class Desk:
    """A chain reader over one broker, what the gateway did, and the market behind it."""

    lab: Lab
    gate: Any
    exchange: Exchange
    chains: Chains
    lent: list[int]

    @property
    def sent(self) -> int:
        """Messages sent on all connections."""
        return sum(each.session.client.conn.numMsgSent for each in self.lab.broker.connections)

    @property
    def held(self) -> int:
        """Lines that the broker counts as in use."""
        return self.lab.settings.max_lines - self.lab.broker.free_lines


def listed_exchange(silent: Collection[int] = ()) -> Exchange:
    """List AAPL's chain and show everything, but each n-th option of ``silent``."""
    market = SyntheticMarket(1, 20, SystemClock().now(), chains=("AAPL",))
    model = FillModel(latency_ms=0, enforce_hours=False)
    exchange = Exchange(SystemClock(), market.listings(), fill_model=model)
    for each in exchange.listings:
        option = each.instrument
        if option.security_type is not SecurityType.OPTION:
            show(exchange, option, 189.9, 190.1)
        elif option.strike is None or int(option.strike) not in silent:
            show(exchange, option, 5.0, 5.1)
    return exchange


@asynccontextmanager
async def reading(
    library: str, *, lines: int = 10, silent: Collection[int] = (), rate: float = 0.0, **more: Any
) -> AsyncIterator[Desk]:
    exchange = listed_exchange(silent)
    pacer = SlidingWindowPacer(SystemClock(), rate)
    async with SimulatedGateway(exchange, sampling=0, lines=lines) as gate:
        lab = Lab(port=gate.port, library=library, max_lines=lines, pacer=pacer, **more)
        async with connected(lab) as broker:
            lent: list[int] = []

            async def price(underlying: Instrument) -> Quote:
                return Quote(underlying, 189.9, 190.1)

            chains = Chains(
                broker,
                lab.clock,
                price,
                pace=pacer.seconds_for,
                wanted=lambda: False,
                lend=lent.append,
            )
            yield Desk(lab, gate, exchange, chains, lent)
            assert sum(lent) == 0, "every line that was taken is given back"


@both
def test_a_chain_is_read_with_the_messages_and_lines_that_were_told(library: str) -> None:
    async def story() -> None:
        async with reading(library, quiet=0.0, heartbeat=60.0) as desk:
            broker = desk.lab.broker
            held = [broker.subscribe(Instrument.stock(s), lambda _: None) for s in ("IBM", "AIG")]
            held.append(broker.subscribe(AAPL, lambda _: None))
            plan = await desk.chains.plan(AAPL, ChainWindow(expiries=2, strikes=8))
            before = desk.sent
            assert plan.cost.contracts == 2 * 8 * 2
            assert plan.cost.lines == 7, "three of ten are held"
            assert plan.cost.messages == 2 + 1 + 2 * plan.cost.contracts
            assert math.isnan(plan.cost.seconds), "nothing was measured yet"
            most: list[int] = []
            told: list[ChainProgress] = []

            def progress(item: ChainProgress) -> None:
                told.append(item)
                most.append(desk.held)

            chain = await desk.chains.read(plan, progress)
            assert chain.complete, [row for row in chain.rows if row.missing]
            assert [row.option for row in chain.rows] == list(plan.options)
            assert all(row.quote and row.quote.bid == 5.0 for row in chain.rows)
            assert max(most) <= 10
            assert chain.most_lines <= 7
            assert [item.done for item in told] == list(range(1, 33))
            assert desk.held == 3
            await until(lambda: desk.sent - before == plan.cost.messages, "the last cancels")
            assert all(not stream.refused for stream in held)
            again = await desk.chains.plan(AAPL, ChainWindow(expiries=2, strikes=8))
            assert again.cost.messages == 2 * plan.cost.contracts, "contracts are known today"
            assert again.cost.seconds > 0

    asyncio.run(story())


@both
def test_what_does_not_answer_says_so_and_holds_nothing_up(library: str) -> None:
    async def story() -> None:
        async with reading(library, silent=range(186, 189), lines=4) as desk:
            plan = await desk.chains.plan(AAPL, ChainWindow(expiries=1, strikes=6))
            silent = [each for each in plan.options if each.strike in (186, 187, 188)]
            one = plan.options[0]
            chain = await desk.chains.read(plan, answer_seconds=0.3)
            missing = [row for row in chain.rows if row.missing]
            assert {row.option for row in missing} == set(silent)
            assert all("no quote came within 0." in row.missing for row in missing)
            assert desk.held == 0
            show(desk.exchange, one, 5.0, 0.0)
            chain = await desk.chains.read(plan, answer_seconds=0.3)
            assert chain.rows[0].missing.startswith("no ask came")
            assert chain.rows[0].quote is not None

    asyncio.run(story())


@both
def test_a_link_that_drops_in_the_middle_loses_no_option(library: str) -> None:
    async def story() -> None:
        async with reading(library, lines=4) as desk:
            plan = await desk.chains.plan(AAPL, ChainWindow(expiries=1, strikes=12))
            broker = desk.lab.broker
            dropped = False

            def progress(item: ChainProgress) -> None:
                nonlocal dropped
                if item.done == 10:
                    dropped = True
                    desk.gate.control.drop(18, abort=True)

            chain = await desk.chains.read(plan, progress, outage_seconds=5.0)
            assert dropped
            assert chain.complete, [row.missing for row in chain.rows if row.missing]
            await until(lambda: broker.data_up, "the link")
            assert desk.held == 0

    asyncio.run(story())


@both
def test_a_link_that_stays_down_is_said_of_what_was_not_read(library: str) -> None:
    async def story() -> None:
        async with reading(library, lines=4) as desk:
            plan = await desk.chains.plan(AAPL, ChainWindow(expiries=1, strikes=6))

            pausing: list[asyncio.Future[None]] = []

            def progress(item: ChainProgress) -> None:
                if item.done == 3:
                    pausing.append(asyncio.ensure_future(desk.gate.control.pause_listening()))
                    desk.gate.control.drop(18, abort=True)

            chain = await desk.chains.read(plan, progress, outage_seconds=0.3)
            missing = [row.missing for row in chain.rows if row.missing]
            assert 0 < len(missing) < len(chain.rows)
            assert all("data was down for" in text for text in missing), missing

    asyncio.run(story())


@both
def test_without_a_free_line_nothing_is_taken_from_anybody(library: str) -> None:
    async def story() -> None:
        async with reading(library, lines=2) as desk:
            broker = desk.lab.broker
            held = [broker.subscribe(Instrument.stock(s), lambda _: None) for s in ("IBM", "AIG")]
            plan = await desk.chains.plan(AAPL, ChainWindow(expiries=1, strikes=2))
            assert plan.cost.lines == 0
            assert plan.cost.most_seconds == math.inf
            reader = asyncio.ensure_future(desk.chains.read(plan, answer_seconds=0.2))
            chain = await reader
            assert all("no market data line came free" in row.missing for row in chain.rows)
            assert desk.held == 2
            waiting = asyncio.ensure_future(desk.chains.read(plan))
            await asyncio.sleep(0.05)
            held[0].close()
            assert (await waiting).complete, "one line that comes free is enough"

    asyncio.run(story())


@both
def test_the_pace_is_kept_and_told(library: str) -> None:
    async def story() -> None:
        async with reading(library, lines=100, rate=50.0) as desk:
            plan = await desk.chains.plan(AAPL, ChainWindow(expiries=1, strikes=15))
            chain = await desk.chains.read(plan, answer_seconds=0.5)
            assert chain.complete, "waiting for the pacer is not counted as silence"
            assert desk.gate.ledger.of("pacing") == []
            cost = plan.cost
            assert cost.least_seconds == pytest.approx((cost.messages - 8) / 40)
            assert cost.least_seconds / 2 < chain.seconds, "the last cancels leave after it"

    asyncio.run(story())


@both
def test_contracts_of_today_are_known_after_a_restart(library: str, tmp_path: Path) -> None:
    async def story() -> None:
        exchange, clock = listed_exchange(), OneDay()
        async with SimulatedGateway(exchange, sampling=0) as gate:
            for known in (False, True):
                lab = Lab(clock, port=gate.port, library=library, state_dir=tmp_path)
                async with connected(lab) as broker:
                    (parameters,) = [
                        each
                        for each in await broker.option_parameters(AAPL)
                        if each.exchange == "SMART"
                    ]
                    expiry = parameters.expiries[0]
                    assert broker.options_known(parameters, expiry) is known
                    options = await broker.options(parameters, expiry)
                    assert len(options) >= 20
                    assert {each.right for each in options} == {Right.CALL, Right.PUT}
                    quotes: list[Quote] = []
                    line = await broker.open_line(options[0], quotes.append)
                    await until(lambda got=quotes: any(q.ask == 5.1 for q in got), "a quote")
                    line.close()

    asyncio.run(story())


@both
def test_a_window_without_options_and_a_stock_without_any_are_not_found(library: str) -> None:
    async def story() -> None:
        async with reading(library) as desk:
            with pytest.raises(InstrumentNotFound, match="lie in the window"):
                await desk.chains.plan(AAPL, ChainWindow(width=0.001), price=500.0)
            with pytest.raises(InstrumentNotFound, match="no options are listed"):
                await desk.chains.plan(Instrument.stock("IBM"))
            with pytest.raises(InstrumentNotFound, match="class AAPL2") as caught:
                await desk.chains.plan(AAPL, ChainWindow(trading_class="AAPL2"))
            assert "AAPL on SMART" in caught.value.hint

    asyncio.run(story())


@both
def test_two_classes_with_the_same_terms_are_an_error_and_freeze_nothing(library: str) -> None:
    async def story() -> None:
        async with reading(library) as desk:
            broker = desk.lab.broker
            plan = await desk.chains.plan(AAPL, ChainWindow(expiries=1, strikes=2))
            book = broker._lookup._book  # type: ignore[union-attr]
            book.keep(InstrumentDefinition(plan.options[0], "77"))
            with pytest.raises(AmbiguousInstrument, match="contract 77 as well"):
                await broker.options(plan.parameters, plan.expiries[0])
            book.check_tradable(plan.options[0])
            chain = await desk.chains.read(plan)
            assert all("contract could not be had" in row.missing for row in chain.rows)

    asyncio.run(story())
