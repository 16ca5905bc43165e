"""Every scenario that is shipped, with ib_insync connected: what it saw, what the ledger says.

Times are shortened by ``time_scale``; what happens and in which order is the scenario's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import attrs
import pytest
from alluse_gateway.scenario import find, shipped
from alluse_gateway.server import SimulatedGateway
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing
from gateway_lab import AAPL, EURUSD, START, client, library, quote, until

from alluse_core import Instrument
from alluse_core.clock import SystemClock
from alluse_core.model import Right

OPEN = 1_700_060_400.0
"""Ten in the morning in New York, on a Wednesday."""

CALL = Instrument.option("AAPL", date(2027, 1, 15), "95", Right.CALL)
Story = Callable[["Bot"], Awaitable[None]]


class Bot:
    """An ib_insync client, what it heard, and the gateway that it is connected to."""

    def __init__(self, ib: Any, gateway: SimulatedGateway, contract: Any) -> None:
        self.ib, self.gateway, self.contract = ib, gateway, contract
        self.lib = library("ib_insync")
        self.codes: list[int] = []
        ib.errorEvent += lambda _, code, *rest: self.codes.append(code)

    def buy(self, limit: float = 90.0, quantity: int = 10) -> Any:
        return self.ib.placeOrder(self.contract, self.lib.LimitOrder("BUY", quantity, limit))

    def order(self, number: int = 0) -> Any:
        return self.gateway.ledger.orders()[number]

    async def acked(self, trade: Any) -> None:
        await until(lambda: trade.orderStatus.status == "Submitted", "the ack")

    async def gone(self) -> None:
        await until(lambda: not self.ib.isConnected(), "the end of the connection")

    async def back(self, client_id: int = 1) -> None:
        """Connect again, as often as it takes."""
        for _ in range(100):
            try:
                await self.ib.connectAsync("127.0.0.1", self.gateway.port, client_id, timeout=0.5)
            except (OSError, TimeoutError):
                await asyncio.sleep(0.05)
            else:
                return
        raise AssertionError("the gateway did not come back")

    async def ended(self) -> None:
        await until(lambda: self.gateway.ledger.of("scenario_ended"), "the scenario's end")


def play(
    name: str,
    story: Story,
    scale: float = 0.01,
    begin: str = "told",
    rate_limit: int = 50,
    in_session: bool = False,
) -> None:
    async def whole() -> None:
        # Shortened, a scenario would otherwise begin while the library still connects.
        scenario = attrs.evolve(find(name), begin=begin)
        exchange = exchange_with_options(in_session)
        gateway = SimulatedGateway(
            exchange, scenario=scenario, time_scale=scale, sampling=0, rate_limit=rate_limit
        )
        async with gateway, client("ib_insync", gateway) as ib:
            gateway.control.begin()
            lib = library("ib_insync")
            contract = lib.Stock(
                "AAPL", "SMART", "USD", conId=gateway.exchange.listing(AAPL).con_id
            )
            await story(Bot(ib, gateway, contract))
            assert not gateway.ledger.of("scenario_failed")

    asyncio.run(asyncio.wait_for(whole(), 30))


def exchange_with_options(in_session: bool) -> Exchange:
    model = FillModel(latency_ms=0, enforce_hours=in_session)
    listings = [Listing.of(AAPL, primary_exchange="NASDAQ"), Listing.of(CALL), Listing.of(EURUSD)]
    exchange = Exchange(SystemClock(), listings, fill_model=model)
    at = OPEN if in_session else START
    quote(exchange, AAPL, 100.0, 100.1, at=at)
    quote(exchange, CALL, 5.0, 5.1, at=at)
    return exchange


def test_every_shipped_scenario_has_a_test_of_its_name() -> None:
    tests = "\n".join(globals())
    for scenario in shipped():
        words = scenario.name.replace("-", "_")
        assert f"test_{words}_" in tests, f"{scenario.name} has no test"


def test_nightly_restart_drops_the_client_and_keeps_its_resting_order() -> None:
    async def story(bot: Bot) -> None:
        trade = bot.buy()
        await bot.gone()
        assert 1100 in bot.codes
        await bot.back()
        await bot.ended()
        assert [each.order.permId for each in bot.ib.openTrades()] == [trade.order.permId]
        assert bot.order().state == "WORKING"

    play("nightly-restart", story)


def test_weekly_login_refuses_connections_until_somebody_logs_in() -> None:
    async def story(bot: Bot) -> None:
        await bot.gone()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", bot.gateway.port)
        await bot.back()
        await bot.ended()
        codes = [each["code"] for each in bot.gateway.ledger.of("inject") if "code" in each]
        assert codes == [1100, 1101]

    play("weekly-login", story, scale=0.0005)


def test_farm_flap_stops_ticks_and_they_come_again() -> None:
    async def story(bot: Bot) -> None:
        ticker = bot.ib.reqMktData(bot.contract)
        await until(lambda: ticker.bid == 100.0, "the first quote")
        await bot.ended()
        assert bot.codes.count(2103) == bot.codes.count(2104) == 5
        assert {2105, 2106} <= set(bot.codes)
        quote(bot.gateway.exchange, AAPL, 101.0, 101.1, at=START + 1)
        await until(lambda: ticker.bid == 101.0, "a quote after the last flap")

    play("farm-flap", story, scale=0.003)


def test_1100_with_fills_tells_of_them_after_1102_only() -> None:
    async def story(bot: Bot) -> None:
        trade = bot.buy(99.0)
        await until(lambda: 1100 in bot.codes, "1100")
        quote(bot.gateway.exchange, AAPL, 98.0, 98.5, at=START + 1)
        await until(lambda: bot.gateway.ledger.executions(), "the fill at the exchange")
        assert bot.order().state == "FILLED"
        assert trade.orderStatus.status != "Filled"
        await until(lambda: trade.orderStatus.status == "Filled", "the late news")
        assert 1102 in bot.codes

    play("1100-with-fills", story)


def test_id_rollback_gives_out_used_ids_again() -> None:
    async def story(bot: Bot) -> None:
        trades = [bot.buy(90.0 + number) for number in range(4)]
        await bot.gone()
        await bot.back()
        first = trades[0].order.orderId
        (_, second) = bot.gateway.ledger.of("start")
        assert second["next_order_id"] == first
        # What the library sends next under that id is a change of the living order.
        bot.ib.client._reqIdSeq = first
        bot.ib.client.placeOrder(first, bot.contract, bot.lib.LimitOrder("BUY", 10, 80.0))
        await until(lambda: bot.gateway.ledger.of("replaced"), "the change")
        assert len(bot.gateway.ledger.orders()) == 4
        assert bot.order().limit_price == 80

    play("id-rollback", story)


def test_slow_acks_leave_an_order_pending_that_lives_at_the_exchange() -> None:
    async def story(bot: Bot) -> None:
        await until(lambda: bot.gateway.faults.ack_delay, "the fault")
        trade = bot.buy()
        await until(lambda: bot.gateway.ledger.of("ack"), "the exchange")
        await bot.ib.reqCurrentTimeAsync()
        assert trade.orderStatus.status == "PendingSubmit"
        assert bot.order().state == "WORKING"
        await bot.acked(trade)

    play("slow-acks", story, scale=0.05)


def test_black_hole_carries_orders_out_and_says_nothing() -> None:
    async def story(bot: Bot) -> None:
        await until(lambda: bot.gateway.faults.says_nothing, "the fault")
        trade = bot.buy(101.0)
        await until(lambda: bot.gateway.ledger.executions(), "the fill at the exchange")
        assert bot.ib.isConnected()
        assert trade.orderStatus.status == "PendingSubmit"
        await bot.gone()
        await bot.back()
        assert [each.execution.permId for each in bot.ib.fills()] == [bot.order().perm_id]

    play("black-hole", story)


def test_split_frames_change_nothing_for_a_client_that_reads_a_stream() -> None:
    async def story(bot: Bot) -> None:
        trades = [bot.buy(101.0, 1) for _ in range(20)]
        await until(lambda: all(each.isDone() for each in trades), "all fills")
        assert {each.state for each in bot.gateway.ledger.orders()} == {"FILLED"}
        assert bot.gateway.faults.split

    play("split-frames", story, scale=0.02, begin="listen", rate_limit=0)


def test_desync_leaves_the_client_connected_and_deaf() -> None:
    async def story(bot: Bot) -> None:
        trade = bot.buy()
        await until(lambda: bot.gateway.ledger.of("inject"), "the fault")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(bot.ib.reqCurrentTimeAsync(), 0.1)
        assert bot.ib.isConnected()
        bot.ib.cancelOrder(trade.order)
        await until(lambda: bot.gateway.ledger.of("canceled"), "the exchange")
        assert bot.order().state == "CANCELED"
        assert trade.orderStatus.status != "Cancelled"

    play("desync", story)


def test_pacing_kill_says_100_and_tightens_the_limit() -> None:
    async def story(bot: Bot) -> None:
        await bot.gone()
        assert 100 in bot.codes
        await bot.ended()
        await bot.back()
        for _ in range(20):
            bot.ib.client.reqCurrentTime()
        await bot.gone()
        assert bot.gateway.ledger.of("rate")

    play("pacing-kill", story)


def test_competing_session_silences_data_and_holds_the_client_id() -> None:
    async def story(bot: Bot) -> None:
        ticker = bot.ib.reqMktData(bot.contract)
        await until(lambda: 10197 in bot.codes, "10197")
        quote(bot.gateway.exchange, AAPL, 101.0, 101.1, at=START + 1)
        await bot.gone()
        assert ticker.bid != 101.0
        with pytest.raises(TimeoutError):
            await bot.ib.connectAsync("127.0.0.1", bot.gateway.port, 1, timeout=0.1)
        await bot.back()
        await bot.ended()
        assert [each["code"] for each in bot.gateway.ledger.of("refuse")] == [326] * 3

    play("competing-session", story)


def test_two_permids_are_alive_under_one_order_id_after_a_change() -> None:
    async def story(bot: Bot) -> None:
        trade = bot.buy(90.0)
        await bot.ended()
        first = trade.order.permId
        trade.order.lmtPrice = 91.0
        bot.ib.placeOrder(bot.contract, trade.order)
        await until(lambda: bot.gateway.ledger.of("split"), "the second order")
        await until(lambda: len(bot.gateway.exchange.open_orders()) == 2, "both")
        one, two = bot.gateway.ledger.orders()
        assert (one.perm_id, one.order_id) == (first, two.order_id)
        assert one.perm_id != two.perm_id
        assert (one.limit_price, two.limit_price) == (90, 91)

    play("two-permids", story)


def test_preset_change_tells_10349_and_the_order_lives() -> None:
    async def story(bot: Bot) -> None:
        trade = bot.ib.placeOrder(
            bot.contract, bot.lib.LimitOrder("BUY", 10, 90.0, tif="GTC", orderRef="gtc")
        )
        await until(lambda: 10349 in bot.codes, "10349")
        await until(lambda: bot.gateway.ledger.of("ack"), "the exchange")
        # The library calls it cancelled; the exchange does not.
        assert trade.orderStatus.status in ("Cancelled", "Submitted", "PendingSubmit")
        assert bot.order().state == "WORKING"
        (entry,) = bot.gateway.ledger.of("preset")
        assert (entry["order_ref"], entry["time_in_force"]) == ("gtc", "DAY")

    play("preset-change", story, begin="listen")


def test_liquidation_closes_what_was_bought_and_says_so() -> None:
    async def story(bot: Bot) -> None:
        bot.buy(101.0)
        await until(lambda: len(bot.gateway.ledger.executions()) == 2, "the liquidation")
        bought, sold = bot.gateway.ledger.executions()
        assert (bought.side, sold.side, sold.cause) == ("BUY", "SELL", "liquidation")
        assert bot.gateway.ledger.positions() == {}
        fills = await bot.ib.reqExecutionsAsync()
        assert sorted(each.execution.liquidation for each in fills) == [0, 1]

    play("liquidation", story)


def test_assignment_turns_a_short_call_into_sold_shares() -> None:
    async def story(bot: Bot) -> None:
        call = bot.lib.Contract(conId=bot.gateway.exchange.listing(CALL).con_id, exchange="SMART")
        bot.ib.placeOrder(call, bot.lib.LimitOrder("SELL", 1, 4.0))
        assigned = bot.gateway.exchange.accounts.position
        await until(lambda: assigned("DU1000001", AAPL) == -100, "the assignment")
        assert assigned("DU1000001", CALL) == 0
        positions = await bot.ib.reqPositionsAsync()
        assert {each.contract.secType: each.position for each in positions}["STK"] == -100
        assert {each.cause for each in bot.gateway.ledger.executions()} >= {"", "assignment"}

    play("assignment", story)


def test_halt_lets_orders_wait_and_says_so_by_tick_49() -> None:
    async def story(bot: Bot) -> None:
        ticker = bot.ib.reqMktData(bot.contract)
        trade = bot.buy(99.0)
        await until(lambda: ticker.halted == 1, "tick 49")
        quote(bot.gateway.exchange, AAPL, 98.0, 98.5, at=START + 1)
        await bot.ib.reqCurrentTimeAsync()
        assert not bot.gateway.ledger.executions()
        await until(lambda: ticker.halted == 0, "the end of the halt")
        quote(bot.gateway.exchange, AAPL, 98.0, 98.4, at=START + 2)
        await until(lambda: trade.orderStatus.status == "Filled", "the fill after it")
        await until(lambda: ticker.halted == 2, "the pause for volatility")

    play("halt", story, scale=0.002)


def test_early_close_expires_day_orders_and_keeps_gtc_ones() -> None:
    async def story(bot: Bot) -> None:
        day, gtc = (
            bot.ib.placeOrder(bot.contract, bot.lib.LimitOrder("BUY", 1, 90.0, tif=tif))
            for tif in ("DAY", "GTC")
        )
        await bot.ended()
        # The share is not quoted any more; time passes with what trades around the clock.
        quote(bot.gateway.exchange, EURUSD, 1.1, 1.2, at=OPEN + 130)
        await until(lambda: day.orderStatus.status == "Cancelled", "the expiry")
        assert [each.state for each in bot.gateway.ledger.orders()] == ["EXPIRED", "HELD"]
        assert gtc.orderStatus.status in ("Submitted", "PreSubmitted")
        listing = bot.gateway.exchange.listing(AAPL)
        assert bot.gateway.exchange.hours(listing) != listing.hours

    play("early-close", story, in_session=True)
