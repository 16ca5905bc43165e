"""Every versioned answer, read by the client libraries' own decoders, and by whole clients."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import ibapi.client
import pytest
from alluse_gateway.answers import contracts, history, reference, system
from alluse_gateway.answers import orders as answers
from alluse_gateway.server import SimulatedGateway
from alluse_paper.market import Listing
from alluse_paper.orders import Fill
from gateway_lab import AAPL, library, make_exchange, until
from ibapi.client import EClient
from ibapi.common import WshEventData
from ibapi.contract import Contract
from ibapi.execution import ExecutionFilter
from ibapi.order import Order
from ibapi.order_cancel import OrderCancel
from ibapi.scanner import ScannerSubscription
from referees import Told, ib_is_told, ibapi_is_told
from test_order_versions import echo, placed

from alluse_core.model import Side

VERSIONS = range(157, 201)
LISTING = Listing.of(AAPL, primary_exchange="NASDAQ", long_name="APPLE INC \\ é")
CALENDAR = contracts.Calendar("US/Eastern", "20260105:CLOSED", "20260106:CLOSED")
FILL = Fill(
    "0001.01",
    2**40,
    "DU1",
    AAPL,
    Side.BUY,
    Decimal(10),
    Decimal("99.5"),
    datetime(2026, 1, 5, 15, tzinfo=UTC),
    Decimal(10),
    Decimal("99.5"),
    Decimal(1),
    "USD",
    Decimal(0),
)
BAR = history.WrittenBar("20260105 10:00:00", 1.5, 2.5, 1.0, 2.0, 300.0, 1.75, 9)


def test_an_error_is_the_same_at_every_version_and_timed_from_194() -> None:
    for version in VERSIONS:
        frame = system.error(version, 7, 201, "café \\", '{"a": 1}', 1_700_000_000_123)
        ((name, (number, at, code, text, advanced)),) = ibapi_is_told(version, frame)
        assert (name, number, code, text) == ("error", 7, 201, "café \\")
        assert advanced == ('{"a": 1}' if version >= 166 else "")
        assert at == (1_700_000_000_123 if version >= 194 else 0)


def test_contract_details_are_the_same_at_every_version() -> None:
    for version in VERSIONS:
        frame = contracts.contract_details(version, 7, LISTING, CALENDAR, 26)
        ((name, (number, details)),) = ibapi_is_told(version, frame)
        assert (name, number, details.contract.conId) == ("contractDetails", 7, LISTING.con_id)
        assert (details.longName, details.minTick) == ("APPLE INC \\ é", 0.01)
        assert (details.timeZoneId, details.liquidHours) == ("US/Eastern", "20260106:CLOSED")
        assert (details.stockType, details.marketRuleIds) == ("COMMON", "26,26")
        assert details.minSize == (1 if version >= 164 else details.minSize)
        samples = contracts.symbol_samples(version, 7, [LISTING])
        ((name, (number, found)),) = ibapi_is_told(version, samples)
        assert (name, number, found[0].contract.symbol) == ("symbolSamples", 7, "AAPL")


def test_an_execution_is_the_same_at_every_version() -> None:
    for version in VERSIONS:
        frame = answers.execution_details(echo(placed("plain", version)), FILL, version, 7)
        ((name, (number, contract, execution)),) = ibapi_is_told(version, frame)
        assert (name, number, contract.symbol) == ("execDetails", 7, "AAPL")
        assert (execution.execId, execution.shares, execution.price) == ("0001.01", 10, 99.5)
        assert (execution.permId, execution.clientId) == (2**40, 3)
        assert execution.time.endswith("UTC") == (version >= 174)
        assert execution.pendingPriceRevision is False


def test_bars_end_within_their_message_until_195_and_by_108_from_then_on() -> None:
    for version in VERSIONS:
        calls = ibapi_is_told(version, history.historical_data(version, 7, "from", "to", [BAR]))
        if version >= 196:
            calls += ibapi_is_told(version, history.historical_data_end(7, "from", "to"))
        (_, (number, bar)), end = calls
        assert (number, bar.open, bar.wap, bar.barCount) == (7, 1.5, Decimal("1.75"), 9)
        assert end == ("historicalDataEnd", (7, "from", "to"))


def test_a_what_if_tells_its_margins_and_from_195_their_currency() -> None:
    figures = tuple(Decimal(each) for each in (1, 2, 3))
    margins = answers.Margins(figures, figures, figures, Decimal("1.5"), "USD")
    for version in VERSIONS:
        parts = answers.open_order_parts(echo(placed("plain", version)), version)
        frame = answers.open_order(parts, "PreSubmitted", None, margins, "beware")
        ((_, (_, _, _, state)),) = ibapi_is_told(version, frame)
        assert (state.initMarginBefore, state.maintMarginChange) == ("1", "2")
        assert (state.equityWithLoanAfter, state.commissionAndFees) == ("3", 1.5)
        assert state.warningText == "beware"
        assert state.marginCurrency == ("USD" if version >= 195 else "")
        assert not state.orderAllocations


TABLES: list[tuple[bytes, str, tuple[Any, ...]]] = [
    (reference.news_bulletin(3, 2, "closed", "NYSE"), "updateNewsBulletin", (3, 2, "closed")),
    (reference.receive_fa(1, "<a/>"), "receiveFA", (1, "<a/>")),
    (reference.replace_fa_end(7, "ok"), "replaceFAEnd", (7, "ok")),
    (reference.scanner_parameters("<a/>"), "scannerParameters", ("<a/>",)),
    (reference.display_groups(7, range(1, 4)), "displayGroupList", (7, "1|2|3")),
    (reference.display_group_updated(7, "9@SMART"), "displayGroupUpdated", (7, "9@SMART")),
    (reference.soft_dollar_tiers(7, [("a", "b", "c")]), "softDollarTiers", (7,)),
    (reference.family_codes([("DU1", "F")]), "familyCodes", ()),
    (reference.depth_exchanges([("NASDAQ", "STK", "", "Deep", 1)]), "mktDepthExchanges", ()),
    (reference.smart_components(7, [(0, "NASDAQ", "A")]), "smartComponents", (7,)),
    (reference.news_article(7, "text"), "newsArticle", (7, 0, "text")),
    (reference.news_providers([("SIM", "Simulated")]), "newsProviders", ()),
    (reference.historical_news(7, "2026-01-05 10:00:00.0", "SIM", "a", "b"), "historicalNews", ()),
    (reference.historical_news_end(7, True), "historicalNewsEnd", (7, True)),
    (reference.user_info(7, "brand"), "userInfo", (7, "brand")),
    (system.current_time(9), "currentTime", (9,)),
    (system.current_time_millis(9), "currentTimeInMillis", (9,)),
]


@pytest.mark.parametrize(("frame", "name", "begins"), TABLES, ids=[row[1] for row in TABLES])
def test_a_table_reaches_its_callback(frame: bytes, name: str, begins: tuple[Any, ...]) -> None:
    ((told, arguments),) = ibapi_is_told(200, frame)
    assert told == name
    assert arguments[: len(begins)] == begins


@pytest.mark.parametrize("name", ["ib_insync", "ib_async"])
def test_the_ib_libraries_read_the_tables_as_well(name: str) -> None:
    async def story() -> None:
        library(name)
        for frame, callback, _ in TABLES:
            if callback != "currentTimeInMillis":
                assert callback in [told for told, _ in ib_is_told(name, 176, frame)]
        scan = ib_is_told(name, 176, reference.scanner_data(7, [LISTING]))
        assert [told for told, _ in scan] == ["scannerData", "scannerDataEnd"]

    asyncio.run(story())


def test_a_scan_reaches_its_callbacks() -> None:
    row, end = ibapi_is_told(200, reference.scanner_data(7, [LISTING]))
    assert row[0] == "scannerData"
    assert (row[1][:2], row[1][2].contract.symbol) == ((7, 0), "AAPL")
    assert end == ("scannerDataEnd", (7,))


# --- whole clients ------------------------------------------------------------------------------


class App(Told):
    """IBKR's own client, unmodified, with its reading thread."""

    def __init__(self) -> None:
        super().__init__()
        self.client = EClient(self)

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of a callback, so far."""
        return [arguments for told, arguments in tuple(self.calls) if told == name]

    def codes(self) -> list[int]:
        """The codes of all errors, so far."""
        return [code for _, _, code, *_ in self.of("error")]


@contextlib.asynccontextmanager
async def connected(gateway: SimulatedGateway, client_id: int) -> AsyncIterator[App]:
    """Connect IBKR's client by its blocking call, in a thread."""
    app = App()
    await asyncio.to_thread(app.client.connect, "127.0.0.1", gateway.port, client_id)
    thread = threading.Thread(target=app.client.run)
    thread.start()
    try:
        yield app
    finally:
        app.client.disconnect()
        await asyncio.to_thread(thread.join)


def stock() -> Contract:
    contract = Contract()
    contract.symbol, contract.secType = "AAPL", "STK"
    contract.exchange, contract.currency = "SMART", "USD"
    return contract


def limit(price: float) -> Order:
    order = Order()
    order.action, order.orderType, order.totalQuantity = "BUY", "LMT", Decimal(5)
    order.lmtPrice, order.orderRef, order.settlingFirm = price, "mine", "firm"
    return order


@pytest.mark.parametrize("highest", [157, 176, 178, 191, 192, 200])
def test_ibapi_trades_and_asks_over_tcp_at_its_own_highest_version(
    highest: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ibapi.client, "MAX_CLIENT_VER", highest)

    async def story() -> None:
        async with (
            SimulatedGateway(make_exchange()) as gateway,
            connected(gateway, 3) as app,
        ):
            ask = app.client
            assert ask.serverVersion() == highest
            await until(lambda: app.of("nextValidId") and app.of("managedAccounts"), "the start")
            await trade(app, ask)
            await look(app, ask, highest)
            assert {320, 505} & {*app.codes()} == set()

    asyncio.run(asyncio.wait_for(story(), 30))
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def trade(app: App, ask: EClient) -> None:
    """An order rests, is cancelled; another fills; both are told of afterwards."""
    ask.placeOrder(1, stock(), limit(90.0))
    await until(lambda: app.of("orderStatus"), "the ack")
    _, _, order, state = app.of("openOrder")[0]
    assert (order.orderRef, order.settlingFirm, state.status) == ("mine", "firm", "Submitted")
    ask.cancelOrder(1, OrderCancel())
    await until(lambda: 202 in app.codes(), "the cancel")
    ask.placeOrder(2, stock(), limit(101.0))
    await until(lambda: app.of("commissionAndFeesReport"), "the fill")
    ask.reqExecutions(11, ExecutionFilter())
    await until(lambda: app.of("execDetailsEnd"), "the executions")
    assert [number for number, *_ in app.of("execDetails")] == [-1, 11]
    ask.reqCompletedOrders(False)
    await until(lambda: app.of("completedOrdersEnd"), "the completed orders")
    assert sorted(each.status for _, _, each in app.of("completedOrder")) == ["Cancelled", "Filled"]
    assert {order.settlingFirm for _, order, _ in app.of("completedOrder")} == {"firm"}
    refused = limit(90.0)
    refused.minQty = 3
    ask.placeOrder(3, stock(), refused)
    await until(lambda: 321 in app.codes(), "the refusal")
    assert "a minimum quantity" in next(each[3] for each in app.of("error") if each[2] == 321)
    ask.reqGlobalCancel(OrderCancel())


async def look(app: App, ask: EClient, version: int) -> None:
    """What is neither an order nor market data."""
    ask.reqContractDetails(21, stock())
    await until(lambda: app.of("contractDetailsEnd"), "the details")
    con_id = app.of("contractDetails")[0][1].contract.conId
    ask.reqNewsProviders()
    ask.reqHistoricalNews(22, con_id, "SIM", "", "", 5, [])
    await until(lambda: app.of("historicalNewsEnd"), "the headlines")
    assert len(app.of("historicalNews")) == 5
    ask.reqNewsArticle(23, "SIM", app.of("historicalNews")[0][3], [])
    ask.reqScannerParameters()
    scan = ScannerSubscription()
    scan.instrument, scan.locationCode, scan.scanCode = "STK", "STK.US.MAJOR", "MOST_ACTIVE"
    ask.reqScannerSubscription(24, scan, [], [])
    ask.cancelScannerSubscription(24)
    ask.queryDisplayGroups(25)
    ask.subscribeToGroupEvents(26, 2)
    ask.updateDisplayGroup(26, f"{con_id}@SMART")
    ask.reqSoftDollarTiers(27)
    ask.reqFamilyCodes()
    ask.reqMktDepthExchanges()
    ask.reqSmartComponents(28, "9c0001")
    ask.requestFA(1)
    if version >= 161:
        ask.reqWshMetaData(29)
        ask.reqWshEventData(30, WshEventData())
        await until(lambda: app.codes().count(10276) == 2, "the lack of a subscription")
    if version >= 167:
        ask.reqUserInfo(31)
        await until(lambda: app.of("userInfo"), "the user")
    if version >= 197:
        ask.reqCurrentTimeInMillis()
        await until(lambda: app.of("currentTimeInMillis"), "the time")
    ask.reqCurrentTime()
    await until(lambda: app.of("currentTime"), "the end")
    for name in ("newsProviders", "newsArticle", "scannerParameters", "scannerData"):
        assert app.of(name), name
    for name in ("displayGroupList", "softDollarTiers", "familyCodes", "mktDepthExchanges"):
        assert app.of(name), name
    assert app.of("displayGroupUpdated") == [(26, "none"), (26, f"{con_id}@SMART")]
    assert {162, 321} <= {*app.codes()}
