"""Every request in both forms, written by IBKR's own client: the gateway must be asked the same."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from alluse_gateway import requests as r
from alluse_gateway import wire
from alluse_gateway.decode import UnknownMessage, UnreadableMessage, decode
from alluse_gateway.order_refusals import unsupported
from alluse_gateway.protobuf.codec import ProtobufForm
from alluse_gateway.protobuf.questions import ROWS

ibapi_client = pytest.importorskip("ibapi.client", reason="ibapi is not installed")

from ibapi.common import PROTOBUF_MSG_ID  # noqa: E402
from ibapi.contract import ComboLeg, Contract, DeltaNeutralContract  # noqa: E402
from ibapi.execution import ExecutionFilter  # noqa: E402
from ibapi.order import Order, OrderComboLeg  # noqa: E402
from ibapi.order_cancel import OrderCancel  # noqa: E402
from ibapi.order_condition import (  # noqa: E402
    ExecutionCondition,
    MarginCondition,
    PercentChangeCondition,
    PriceCondition,
    TimeCondition,
    VolumeCondition,
)
from ibapi.scanner import ScannerSubscription  # noqa: E402
from ibapi.softdollartier import SoftDollarTier  # noqa: E402
from ibapi.tag_value import TagValue  # noqa: E402
from ibapi.wrapper import EWrapper  # noqa: E402

TAGS = [TagValue("a", "1"), TagValue("b", "two")]


class Line:
    """Stands in the place of a socket and keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def isConnected(self) -> bool:  # ibapi's name
        return True

    def sendMsg(self, message: bytes) -> int:
        self.sent.append(message[4:])
        return len(message)


def sent(version: int, ask: Callable[[Any], None]) -> list[bytes]:
    """Return the payloads that IBKR's client sends to a server of ``version``."""
    errors: list[tuple[Any, ...]] = []
    wrapper = EWrapper()
    wrapper.error = lambda *facts: errors.append(facts)
    client = ibapi_client.EClient(wrapper)
    client.conn, client.serverVersion_ = Line(), version
    client.setConnState(ibapi_client.EClient.CONNECTED)
    client.clientId, client.optCapab = 3, "+PACEAPI"
    ask(client)
    assert errors == []
    return list(client.conn.sent)


def stock() -> Any:
    contract = Contract()
    contract.symbol, contract.secType, contract.exchange = "AAPL", "STK", "SMART"
    contract.currency, contract.primaryExchange = "USD", "NASDAQ"
    return contract


def option() -> Any:
    contract = stock()
    contract.secType, contract.lastTradeDateOrContractMonth = "OPT", "20261218"
    contract.strike, contract.right, contract.multiplier = 190.5, "C", "100"
    contract.localSymbol, contract.tradingClass, contract.conId = "AAPL  26", "AAPL", 5
    contract.secIdType, contract.secId, contract.includeExpired = "ISIN", "US0378331005", True
    return contract


def combo() -> Any:
    contract = stock()
    contract.secType, contract.comboLegs = "BAG", []
    for number in (1, 2):
        leg = ComboLeg()
        leg.conId, leg.ratio, leg.action, leg.exchange = 50 + number, number, "BUY", "SMART"
        leg.openClose, leg.shortSaleSlot, leg.designatedLocation = 1, 2, "there"
        contract.comboLegs.append(leg)
    return contract


def order(**terms: Any) -> Any:
    made = Order()
    made.action, made.orderType, made.totalQuantity = "BUY", "LMT", Decimal("10.5")
    made.lmtPrice, made.tif, made.orderRef = 190.25, "GTC", "ref"
    for name, value in terms.items():
        setattr(made, name, value)
    return made


def combo_order() -> Any:
    prices = []
    for price in (1.25, 2.5):
        leg = OrderComboLeg()
        leg.price = price
        prices.append(leg)
    return order(orderComboLegs=prices, smartComboRoutingParams=TAGS)


def conditions() -> list[Any]:
    return [
        PriceCondition(2, 265598, "SMART", True, 190.5),
        TimeCondition(False, "20260101 10:00:00 UTC"),
        MarginCondition(True, 25),
        ExecutionCondition("STK", "SMART", "AAPL"),
        VolumeCondition(265598, "SMART", True, 1000),
        PercentChangeCondition(265598, "SMART", False, 2.5),
    ]


def neutral() -> Any:
    contract = stock()
    contract.deltaNeutralContract = DeltaNeutralContract()
    contract.deltaNeutralContract.conId = 7
    contract.deltaNeutralContract.delta, contract.deltaNeutralContract.price = 0.5, 99.5
    return contract


def executions() -> Any:
    wanted = ExecutionFilter()
    wanted.clientId, wanted.acctCode, wanted.time = 3, "DU1", "20260101 10:00:00"
    wanted.symbol, wanted.secType, wanted.exchange, wanted.side = "AAPL", "STK", "SMART", "BUY"
    wanted.lastNDays, wanted.specificDates = 3, [20260101, 20260102]
    return wanted


def cancel() -> Any:
    told = OrderCancel()
    told.manualOrderCancelTime, told.extOperator = "20260101 10:00:00", "op"
    told.manualOrderIndicator = 1
    return told


def scanner() -> Any:
    wanted = ScannerSubscription()
    wanted.instrument, wanted.locationCode, wanted.scanCode = "STK", "STK.US", "TOP_PERC_GAIN"
    wanted.numberOfRows, wanted.abovePrice, wanted.aboveVolume = 10, 5.5, 1000
    wanted.stockTypeFilter, wanted.excludeConvertible = "ALL", True
    return wanted


PLAIN = order(account="DU1", auxPrice=1.5, transmit=False, parentId=4, outsideRth=True)
RICH = order(
    **{name: f"{name}-x" for name in ("ocaGroup", "settlingFirm", "designatedLocation")},
    **dict.fromkeys(("blockOrder", "sweepToFill", "hidden", "allOrNone", "notHeld"), True),
    **dict.fromkeys(("solicited", "randomizeSize", "randomizePrice", "isOmsContainer"), True),
    **dict.fromkeys(("optOutSmartRouting", "overridePercentageConstraints"), True),
    **dict.fromkeys(("dontUseAutoPriceForHedge", "discretionaryUpToLimitPrice"), True),
    **dict.fromkeys(("usePriceMgmtAlgo", "autoCancelParent", "professionalCustomer"), True),
    **dict.fromkeys(("includeOvernight", "imbalanceOnly", "whatIf", "continuousUpdate"), True),
    **dict.fromkeys(("percentOffset", "trailStopPrice", "trailingPercent"), 1.25),
    **dict.fromkeys(("startingPrice", "stockRefPrice", "delta", "volatility"), 2.25),
    **dict.fromkeys(("stockRangeLower", "stockRangeUpper", "triggerPrice", "cashQty"), 3.25),
    **dict.fromkeys(("lmtPriceOffset", "adjustedStopPrice", "adjustedStopLimitPrice"), 4.25),
    **dict.fromkeys(("displaySize", "triggerMethod", "ocaType", "minQty", "duration"), 3),
    **dict.fromkeys(("volatilityType", "referencePriceType", "adjustableTrailingUnit"), 1),
    **dict.fromkeys(("postToAts", "manualOrderIndicator", "shortSaleSlot", "origin"), 1),
    adjustedTrailingAmount=5.25,
    adjustedOrderType="STP",
    discretionaryAmt=0.5,
    goodAfterTime="20260101 10:00:00",
    goodTillDate="20261231 10:00:00",
    faGroup="group",
    faMethod="NetLiq",
    faPercentage="50",
    modelCode="model",
    rule80A="A",
    openClose="C",
    clearingAccount="clear",
    clearingIntent="IB",
    hedgeType="D",
    hedgeParam="0.5",
    scaleTable="table",
    activeStartTime="start",
    activeStopTime="stop",
    extOperator="op",
    softDollarTier=SoftDollarTier("tier", "value", ""),
    mifid2DecisionMaker="maker",
    mifid2DecisionAlgo="algo",
    mifid2ExecutionTrader="trader",
    mifid2ExecutionAlgo="executor",
    advancedErrorOverride="8229",
    manualOrderTime="20260101 10:00:00",
    customerAccount="customer",
    algoStrategy="Adaptive",
    algoParams=TAGS,
    algoId="id",
    orderMiscOptions=TAGS,
)
SCALE = order(
    scaleInitLevelSize=5,
    scaleSubsLevelSize=6,
    scalePriceIncrement=0.5,
    scalePriceAdjustValue=0.1,
    scalePriceAdjustInterval=60,
    scaleProfitOffset=0.2,
    scaleAutoReset=True,
    scaleInitPosition=7,
    scaleInitFillQty=8,
    scaleRandomPercent=True,
)
DELTA_NEUTRAL = order(
    orderType="VOL",
    deltaNeutralOrderType="LMT",
    deltaNeutralAuxPrice=1.5,
    deltaNeutralConId=77,
    deltaNeutralSettlingFirm="firm",
    deltaNeutralClearingAccount="account",
    deltaNeutralClearingIntent="IB",
    deltaNeutralOpenClose="O",
    deltaNeutralShortSale=True,
    deltaNeutralShortSaleSlot=2,
    deltaNeutralDesignatedLocation="there",
)
BENCHMARK = order(
    orderType="PEG BENCH",
    referenceContractId=99,
    isPeggedChangeAmountDecrease=True,
    peggedChangeAmount=0.5,
    referenceChangeAmount=0.25,
    referenceExchangeId="ISLAND",
)
PEGGED = {"minCompeteSize": 50, "midOffsetAtWhole": 0.01, "midOffsetAtHalf": 0.005}
BEST = order(orderType="PEG BEST", competeAgainstBestOffset=0.02, **PEGGED)
BEST_UP_TO_MID = order(orderType="PEG BEST", competeAgainstBestOffset=float("inf"), **PEGGED)
MID = order(orderType="PEG MID", **PEGGED)
CONDITIONAL = order(conditions=conditions(), conditionsIgnoreRth=True, conditionsCancelOrder=True)


def at_ibkrats() -> Any:
    contract = stock()
    contract.exchange = "IBKRATS"
    return contract


HISTORY = ("20260101 10:00:00", "1 D", "1 min", "TRADES", 1, 2, True, TAGS)
SCAN = (7, scanner(), TAGS, TAGS)
ASKED: list[tuple[int, Callable[[Any], None]]] = [
    (1, lambda c: c.reqMktData(7, stock(), "233,236", True, False, [])),
    (1, lambda c: c.reqMktData(7, combo(), "", False, True, [])),
    (1, lambda c: c.reqMktData(7, neutral(), "", False, False, [])),
    (2, lambda c: c.cancelMktData(7)),
    (3, lambda c: c.placeOrder(7, stock(), order())),
    (3, lambda c: c.placeOrder(7, option(), PLAIN)),
    (3, lambda c: c.placeOrder(7, stock(), RICH)),
    (3, lambda c: c.placeOrder(7, combo(), combo_order())),
    (3, lambda c: c.placeOrder(7, neutral(), DELTA_NEUTRAL)),
    (3, lambda c: c.placeOrder(7, stock(), SCALE)),
    (3, lambda c: c.placeOrder(7, stock(), BENCHMARK)),
    (3, lambda c: c.placeOrder(7, stock(), CONDITIONAL)),
    (3, lambda c: c.placeOrder(7, stock(), BEST)),
    (3, lambda c: c.placeOrder(7, stock(), BEST_UP_TO_MID)),
    (3, lambda c: c.placeOrder(7, at_ibkrats(), order(orderType="PEG MID", minTradeQty=5))),
    (3, lambda c: c.placeOrder(7, stock(), MID)),
    (4, lambda c: c.cancelOrder(7, cancel())),
    (4, lambda c: c.cancelOrder(7, OrderCancel())),
    (5, lambda c: c.reqOpenOrders()),
    (6, lambda c: c.reqAccountUpdates(True, "DU1")),
    (6, lambda c: c.reqAccountUpdates(False, "")),
    (7, lambda c: c.reqExecutions(7, executions())),
    (7, lambda c: c.reqExecutions(7, ExecutionFilter())),
    (8, lambda c: c.reqIds(1)),
    (9, lambda c: c.reqContractDetails(7, option())),
    (9, lambda c: c.reqContractDetails(7, stock())),
    (10, lambda c: c.reqMktDepth(7, stock(), 5, True, [])),
    (11, lambda c: c.cancelMktDepth(7, True)),
    (12, lambda c: c.reqNewsBulletins(True)),
    (13, lambda c: c.cancelNewsBulletins()),
    (14, lambda c: c.setServerLogLevel(4)),
    (15, lambda c: c.reqAutoOpenOrders(True)),
    (16, lambda c: c.reqAllOpenOrders()),
    (17, lambda c: c.reqManagedAccts()),
    (18, lambda c: c.requestFA(1)),
    (19, lambda c: c.replaceFA(7, 1, "<xml/>")),
    (20, lambda c: c.reqHistoricalData(7, option(), *HISTORY)),
    (20, lambda c: c.reqHistoricalData(7, combo(), *HISTORY)),
    (21, lambda c: c.exerciseOptions(7, option(), 1, 2, "DU1", 1, "20260101", "customer", True)),
    (22, lambda c: c.reqScannerSubscription(*SCAN)),
    (23, lambda c: c.cancelScannerSubscription(7)),
    (24, lambda c: c.reqScannerParameters()),
    (25, lambda c: c.cancelHistoricalData(7)),
    (49, lambda c: c.reqCurrentTime()),
    (50, lambda c: c.reqRealTimeBars(7, stock(), 5, "TRADES", True, TAGS)),
    (51, lambda c: c.cancelRealTimeBars(7)),
    (54, lambda c: c.calculateImpliedVolatility(7, option(), 1.5, 190.5, [])),
    (55, lambda c: c.calculateOptionPrice(7, option(), 0.25, 190.5, [])),
    (56, lambda c: c.cancelCalculateImpliedVolatility(7)),
    (57, lambda c: c.cancelCalculateOptionPrice(7)),
    (58, lambda c: c.reqGlobalCancel(cancel())),
    (59, lambda c: c.reqMarketDataType(3)),
    (61, lambda c: c.reqPositions()),
    (62, lambda c: c.reqAccountSummary(7, "All", "NetLiquidation,$LEDGER:ALL")),
    (63, lambda c: c.cancelAccountSummary(7)),
    (64, lambda c: c.cancelPositions()),
    (67, lambda c: c.queryDisplayGroups(7)),
    (68, lambda c: c.subscribeToGroupEvents(7, 1)),
    (69, lambda c: c.updateDisplayGroup(7, "265598@SMART")),
    (70, lambda c: c.unsubscribeFromGroupEvents(7)),
    (71, lambda c: c.startApi()),
    (74, lambda c: c.reqPositionsMulti(7, "DU1", "model")),
    (75, lambda c: c.cancelPositionsMulti(7)),
    (76, lambda c: c.reqAccountUpdatesMulti(7, "DU1", "model", True)),
    (77, lambda c: c.cancelAccountUpdatesMulti(7)),
    (78, lambda c: c.reqSecDefOptParams(7, "AAPL", "", "STK", 5)),
    (79, lambda c: c.reqSoftDollarTiers(7)),
    (80, lambda c: c.reqFamilyCodes()),
    (81, lambda c: c.reqMatchingSymbols(7, "AAP")),
    (82, lambda c: c.reqMktDepthExchanges()),
    (83, lambda c: c.reqSmartComponents(7, "a6")),
    (84, lambda c: c.reqNewsArticle(7, "BZ", "BZ$1", TAGS)),
    (85, lambda c: c.reqNewsProviders()),
    (86, lambda c: c.reqHistoricalNews(7, 5, "BZ+FLY", "2026-01-01", "2026-01-02", 10, TAGS)),
    (87, lambda c: c.reqHeadTimeStamp(7, option(), "TRADES", 1, 2)),
    (88, lambda c: c.reqHistogramData(7, option(), True, "3 days")),
    (89, lambda c: c.cancelHistogramData(7)),
    (90, lambda c: c.cancelHeadTimeStamp(7)),
    (91, lambda c: c.reqMarketRule(26)),
    (92, lambda c: c.reqPnL(7, "DU1", "model")),
    (93, lambda c: c.cancelPnL(7)),
    (94, lambda c: c.reqPnLSingle(7, "DU1", "model", 5)),
    (95, lambda c: c.cancelPnLSingle(7)),
    (96, lambda c: c.reqHistoricalTicks(7, option(), "", "20260101", 9, "BID_ASK", 1, True, TAGS)),
    (97, lambda c: c.reqTickByTickData(7, stock(), "BidAsk", 5, True)),
    (98, lambda c: c.cancelTickByTickData(7)),
    (99, lambda c: c.reqCompletedOrders(True)),
    (100, lambda c: c.reqWshMetaData(7)),
    (101, lambda c: c.cancelWshMetaData(7)),
    (103, lambda c: c.cancelWshEventData(7)),
    (104, lambda c: c.reqUserInfo(7)),
    (105, lambda c: c.reqCurrentTimeInMillis()),
]
"""Each request, as a user of IBKR's client makes it."""

NO_TEXT = {106, 107}
"""Cancels of contract data and of historical ticks came in 215: they were never text."""

NOT_ASKED = {
    102,  # its argument has no default in the client; the rows of 100 and 103 say as much
    *(65, 66),  # verification: for programs that IBKR has certified, and no client sends it unasked
}


@pytest.fixture(autouse=True)
def quiet_client() -> Any:
    logging.getLogger("ibapi").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("ibapi").setLevel(logging.NOTSET)


def test_every_request_is_asked() -> None:
    assert {kind for kind, _ in ASKED} | NO_TEXT | NOT_ASKED == set(ROWS)


@pytest.mark.parametrize(("kind", "ask"), ASKED, ids=[str(kind) for kind, _ in ASKED])
def test_both_forms_ask_the_same(kind: int, ask: Callable[[Any], None]) -> None:
    (text,) = sent(200, ask)
    (raw_id,) = sent(201, ask) if kind != 7 else (None,)
    (protobuf,) = sent(226, ask)
    assert int.from_bytes(protobuf[:4], "big") == kind + PROTOBUF_MSG_ID
    meant = decode(wire.fields_of(text), 200)
    assert ProtobufForm(226).request(protobuf) == meant
    if raw_id is not None:
        assert int.from_bytes(raw_id[:4], "big") == kind
        assert ProtobufForm(201).request(raw_id) == meant


def test_what_only_protobuf_can_ask_of_an_order_is_not_lost() -> None:
    asked = order(postOnly=True, whatIfType=1, slOrderId=8, slOrderType="STP")
    (payload,) = sent(226, lambda c: c.placeOrder(7, stock(), asked))
    request = ProtobufForm(226).request(payload)
    assert isinstance(request, r.PlaceOrder)
    terms = {"postOnly": "1", "whatIfType": "1", "attachedOrders": "STP,"}
    assert dict(request.extras.terms) == terms
    refusal = unsupported(request)
    assert refusal is not None
    assert "postOnly" in refusal.text


def test_cancels_that_came_with_protobuf_are_known_from_215_on() -> None:
    for kind, cancels in ((106, "cancelContractData"), (107, "cancelHistoricalTicks")):
        (payload,) = sent(226, lambda c, name=cancels: getattr(c, name)(7))
        assert int.from_bytes(payload[:4], "big") == kind + PROTOBUF_MSG_ID
        assert ProtobufForm(215).request(payload) == r.CancelAnswered(7)
        with pytest.raises(UnknownMessage):
            ProtobufForm(214).request(payload)


def test_an_id_that_is_no_requests_is_unknown_in_both_forms() -> None:
    for kind in (0, 48, 110, 199, 226, 308, 2**32 - 1):
        with pytest.raises(UnknownMessage, match=str(kind)):
            ProtobufForm(226).request(kind.to_bytes(4, "big"))
    with pytest.raises(UnreadableMessage, match="placeOrder: not a protobuf message"):
        ProtobufForm(226).request((203).to_bytes(4, "big") + b"\x0a")
