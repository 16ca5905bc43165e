"""Options and futures that become something else without an order: as a client sees it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from alluse_gateway.server import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing
from gateway_lab import AAPL, client, library, quote, run, trade, until

from alluse_core import Instrument
from alluse_core.clock import SystemClock

EXPIRY = date(2026, 1, 16)
CALL = Instrument.option("AAPL", EXPIRY, Decimal(95), "C")
PUT = Instrument.option("AAPL", EXPIRY, Decimal(95), "P")
FUTURE = Instrument.future("ES", EXPIRY, "CME", multiplier=Decimal(50))
MORNING = datetime(2026, 1, 16, 15, 0, tzinfo=UTC).timestamp()
AFTER_CLOSE = datetime(2026, 1, 16, 21, 0, 1, tzinfo=UTC).timestamp()
AFTER_FUTURES = datetime(2026, 1, 16, 22, 0, 1, tzinfo=UTC).timestamp()
ACCOUNT = "DU1000001"


def option_exchange() -> Exchange:
    """Return an exchange with a stock at 100, a call and a put at 95, and a future."""
    exchange = Exchange(
        SystemClock(),
        [Listing.of(each) for each in (AAPL, CALL, PUT, FUTURE)],
        fill_model=FillModel(latency_ms=0, enforce_hours=False),
    )
    for instrument, bid, ask in (
        (AAPL, 99.9, 100.1),
        (CALL, 5.0, 5.2),
        (PUT, 0.1, 0.2),
        (FUTURE, 4000.0, 4000.25),
    ):
        quote(exchange, instrument, bid, ask, at=MORNING)
    trade(exchange, AAPL, 100.0, at=MORNING)
    return exchange


async def holding(ib: Any, listing: Listing, action: str, quantity: int) -> Any:
    """Trade ``quantity`` at the market and return the filled trade."""
    lib = library("ib_insync")
    contract = lib.Contract(conId=listing.con_id, exchange=listing.instrument.exchange)
    trade = ib.placeOrder(contract, lib.MarketOrder(action, quantity))
    await until(lambda: trade.orderStatus.status == "Filled", "the position")
    return trade


def shares(exchange: Exchange) -> int:
    return int(exchange.accounts.position(ACCOUNT, AAPL))


def test_a_short_option_is_assigned_and_the_shares_come_at_the_strike() -> None:
    async def story() -> None:
        exchange = option_exchange()
        async with (
            SimulatedGateway(exchange) as gateway,
            client("ib_insync", gateway, 0) as person,
            client("ib_insync", gateway, 1) as ib,
        ):
            sold = await holding(ib, exchange.listing(CALL), "SELL", 2)
            gateway.control.assign(CALL.id, 1)
            await until(lambda: len(person.fills()) == 2, "both executions")
            option, stock = [each.execution for each in person.fills()]
            assert (option.side, option.shares, option.price) == ("BOT", 1, 0)
            assert (stock.side, stock.shares, stock.price) == ("SLD", 100, 95.0)
            assert (stock.orderId, stock.clientId) == (0, 0)
            assert shares(exchange) == -100
            held = {each.contract.secType: each.position for each in ib.positions()}
            assert held == {"OPT": -1, "STK": -100}
            assert sold.orderStatus.status == "Filled"
            assert await person.reqCompletedOrdersAsync(False) != []
            assert len(await ib.reqExecutionsAsync()) == 3
            assert await ib.reqAllOpenOrdersAsync() == []
            causes = [each.get("cause") for each in gateway.ledger.of("fill")]
            assert causes == [None, "assignment", "assignment"]

    run(story)


def test_exercise_options_turns_a_long_call_into_shares() -> None:
    async def story() -> None:
        exchange = option_exchange()
        lib = library("ib_insync")
        async with (
            SimulatedGateway(exchange) as gateway,
            client("ib_insync", gateway, 1) as ib,
        ):
            codes: list[int] = []
            ib.errorEvent += lambda number, code, *_: codes.append(code)
            await holding(ib, exchange.listing(CALL), "BUY", 3)
            await holding(ib, exchange.listing(PUT), "BUY", 1)
            listing = exchange.listing(CALL)
            call = lib.Contract(conId=listing.con_id, exchange="SMART")
            put = lib.Contract(conId=exchange.listing(PUT).con_id, exchange="SMART")
            ib.exerciseOptions(call, 1, 2, ACCOUNT, 0)
            await until(lambda: shares(exchange) == 200, "the shares")
            assert exchange.accounts.position(ACCOUNT, CALL) == 1
            ib.exerciseOptions(call, 1, 2, ACCOUNT, 0)
            await until(lambda: codes == [322], "more than is held")
            ib.exerciseOptions(put, 1, 1, ACCOUNT, 0)
            await until(lambda: codes == [322, 322], "what is out of the money")
            ib.exerciseOptions(put, 1, 1, ACCOUNT, 1)
            await until(lambda: shares(exchange) == 100, "the override")
            ib.exerciseOptions(call, 2, 1, ACCOUNT, 0)
            await until(lambda: len(gateway.ledger.of("exercise")) == 5, "the lapse")
            assert gateway.ledger.of("exercise")[-1]["lapse"] is True

    run(story)


def test_options_settle_at_the_end_of_their_last_session() -> None:
    async def story() -> None:
        exchange = option_exchange()
        async with (
            SimulatedGateway(exchange) as gateway,
            client("ib_insync", gateway, 1) as ib,
        ):
            await holding(ib, exchange.listing(CALL), "BUY", 2)
            await holding(ib, exchange.listing(PUT), "SELL", 1)
            lib = library("ib_insync")
            contract = lib.Contract(conId=exchange.listing(PUT).con_id, exchange="SMART")
            resting = ib.placeOrder(contract, lib.LimitOrder("BUY", 1, 0.05, tif="GTC"))
            await until(lambda: resting.orderStatus.status == "Submitted", "the ack")
            quote(exchange, AAPL, 99.9, 100.1, at=AFTER_CLOSE)
            await until(lambda: shares(exchange) == 200, "the exercise")
            await until(lambda: resting.orderStatus.status == "Cancelled", "the order's end")
            assert exchange.accounts.position(ACCOUNT, CALL) == 0
            assert exchange.accounts.position(ACCOUNT, PUT) == 0
            causes = [each["cause"] for each in gateway.ledger.of("fill") if "cause" in each]
            assert sorted(causes) == ["exercise", "exercise", "expiry"]

    run(story)


def test_a_future_settles_in_cash_at_its_last_price() -> None:
    async def story() -> None:
        exchange = option_exchange()
        async with (
            SimulatedGateway(exchange) as gateway,
            client("ib_insync", gateway, 1) as ib,
        ):
            await holding(ib, exchange.listing(FUTURE), "BUY", 1)
            trade(exchange, FUTURE, 4010.0, at=AFTER_CLOSE)
            cash = exchange.accounts.cash(ACCOUNT)["USD"]
            quote(exchange, AAPL, 99.9, 100.1, at=AFTER_FUTURES)
            await until(lambda: gateway.ledger.of("fill")[1:], "the settlement")
            assert exchange.accounts.position(ACCOUNT, FUTURE) == 0
            gain = exchange.accounts.cash(ACCOUNT)["USD"] - cash
            assert gain == (Decimal(4010) - Decimal("4000.25")) * 50

    run(story)
