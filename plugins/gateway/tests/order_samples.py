"""Orders that use every field of placeOrder, by shape, in IBKR's own classes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ibapi.contract import ComboLeg, Contract, DeltaNeutralContract
from ibapi.order import Order, OrderComboLeg
from ibapi.order_condition import (
    ExecutionCondition,
    MarginCondition,
    PercentChangeCondition,
    PriceCondition,
    TimeCondition,
    VolumeCondition,
)
from ibapi.softdollartier import SoftDollarTier
from ibapi.tag_value import TagValue

TOLD_BACK: dict[str, Any] = {
    "openClose": "C", "origin": 1, "orderRef": "ref-1", "blockOrder": True, "sweepToFill": True,
    "displaySize": 7, "triggerMethod": 2, "outsideRth": True, "hidden": True,
    "discretionaryAmt": 0.25, "goodAfterTime": "20260105 10:00:00 UTC",
    "goodTillDate": "20260106 10:00:00 UTC", "faGroup": "group", "faMethod": "AvailableEquity",
    "faPercentage": "10", "modelCode": "model", "shortSaleSlot": 2,
    "designatedLocation": "place", "exemptCode": 3, "ocaGroup": "oca", "ocaType": 2,
    "rule80A": "A", "settlingFirm": "firm", "allOrNone": True, "minQty": 5,
    "percentOffset": 0.5, "auctionStrategy": 2, "startingPrice": 1.5, "stockRefPrice": 2.5,
    "delta": 0.75, "stockRangeLower": 3.5, "stockRangeUpper": 4.5, "volatility": 0.2,
    "volatilityType": 2, "continuousUpdate": True, "referencePriceType": 1,
    "trailStopPrice": 90.5, "trailingPercent": 1.25, "optOutSmartRouting": True,
    "clearingAccount": "away", "clearingIntent": "PTA", "notHeld": True, "solicited": True,
    "randomizeSize": True, "randomizePrice": True, "adjustedOrderType": "STP",
    "triggerPrice": 91.5, "lmtPriceOffset": 0.5, "adjustedStopPrice": 92.5,
    "adjustedStopLimitPrice": 93.5, "adjustedTrailingAmount": 0.75, "adjustableTrailingUnit": 1,
    "cashQty": 1000.5, "dontUseAutoPriceForHedge": True, "isOmsContainer": True,
    "discretionaryUpToLimitPrice": True, "usePriceMgmtAlgo": True, "parentId": 4,
    "account": "DU1", "tif": "GTC", "lmtPrice": 99.5, "auxPrice": 98.5, "action": "BUY",
    "totalQuantity": Decimal("10.5"), "orderType": "LMT",
}  # fmt: skip
"""Terms of the plainest layout that openOrder tells back."""

TOLD_LATER: dict[str, tuple[int, Any]] = {
    "duration": (158, 60),
    "postToAts": (160, 2),
    "autoCancelParent": (162, True),
    "customerAccount": (183, "customer"),
    "professionalCustomer": (184, True),
    "includeOvernight": (189, True),
    "extOperator": (193, "operator"),
    "manualOrderIndicator": (193, 1),
    "imbalanceOnly": (199, True),
}
"""Terms that openOrder tells back from a version on."""

NOT_TOLD: dict[str, tuple[int, Any]] = {
    "overridePercentageConstraints": (157, True),
    "scaleTable": (157, "table"),
    "activeStartTime": (157, "20260105 10:00:00 UTC"),
    "activeStopTime": (157, "20260105 11:00:00 UTC"),
    "algoId": (157, "algo"),
    "mifid2DecisionMaker": (157, "maker"),
    "mifid2DecisionAlgo": (157, "decision"),
    "mifid2ExecutionTrader": (157, "trader"),
    "mifid2ExecutionAlgo": (157, "execution"),
    "advancedErrorOverride": (166, "8229"),
    "manualOrderTime": (169, "20260105-10:00:00"),
}
"""Terms that only placeOrder has."""

NOT_IN_COMPLETED = frozenset(
    {"auctionStrategy", "blockOrder", "optOutSmartRouting", "adjustedOrderType", "triggerPrice"}
    | {"adjustedStopPrice", "adjustedStopLimitPrice", "adjustedTrailingAmount", "parentId"}
    | {"adjustableTrailingUnit", "discretionaryUpToLimitPrice", "usePriceMgmtAlgo", "duration"}
    | {"postToAts", "includeOvernight", "extOperator", "manualOrderIndicator"}
)
"""Terms of openOrder that completedOrder has no field for."""

_SCALE: dict[str, Any] = {
    "scaleInitLevelSize": 3, "scaleSubsLevelSize": 2, "scalePriceIncrement": 0.1,
    "scalePriceAdjustValue": 0.2, "scalePriceAdjustInterval": 30, "scaleProfitOffset": 0.3,
    "scaleAutoReset": True, "scaleInitPosition": 1, "scaleInitFillQty": 2,
    "scaleRandomPercent": True,
}  # fmt: skip
_DELTA_NEUTRAL: dict[str, Any] = {
    "deltaNeutralOrderType": "LMT", "deltaNeutralAuxPrice": 1.25, "deltaNeutralConId": 77,
    "deltaNeutralSettlingFirm": "dnf", "deltaNeutralClearingAccount": "dna",
    "deltaNeutralClearingIntent": "IB", "deltaNeutralOpenClose": "O",
    "deltaNeutralShortSale": True, "deltaNeutralShortSaleSlot": 1,
    "deltaNeutralDesignatedLocation": "dnl",
}  # fmt: skip
_BENCHMARK: dict[str, Any] = {
    "orderType": "PEG BENCH", "referenceContractId": 99, "isPeggedChangeAmountDecrease": True,
    "peggedChangeAmount": 0.5, "referenceChangeAmount": 0.25, "referenceExchangeId": "ISLAND",
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "every term": TOLD_BACK,
    "scale": _SCALE,
    "delta neutral": _DELTA_NEUTRAL,
    "hedge": {"hedgeType": "P", "hedgeParam": "0.5"},
    "benchmark": _BENCHMARK,
    "combo": {},
    "algorithm": {"algoStrategy": "Adaptive"},
    "algorithm without parameters": {"algoStrategy": "Plain"},
    "conditions": {"conditionsIgnoreRth": True, "conditionsCancelOrder": True},
    "best": {"orderType": "PEG BEST", "minCompeteSize": 40, "competeAgainstBestOffset": 0.03},
    "best up to mid": {
        "orderType": "PEG BEST", "minCompeteSize": 40, "competeAgainstBestOffset": float("inf"),
        "midOffsetAtWhole": 0.02, "midOffsetAtHalf": 0.01,
    },
    "mid": {"orderType": "PEG MID", "midOffsetAtWhole": 0.02, "midOffsetAtHalf": 0.01},
    "dark pool": {"minTradeQty": 6},
}  # fmt: skip
"""Shapes of orders and the terms that they set; ``order`` adds what hangs on each."""

SINCE = {"best": 170, "best up to mid": 170, "mid": 170, "dark pool": 170}


def contract(shape: str) -> Contract:
    """Return the contract of an order of ``shape``."""
    made = Contract()
    made.conId, made.symbol, made.secType, made.currency = 265598, "AAPL", "STK", "USD"
    made.exchange = "IBKRATS" if shape == "dark pool" else "SMART"
    if shape == "combo":
        made.secType, made.comboLegs = "BAG", [_leg(11, "BUY"), _leg(12, "SELL")]
    if shape == "delta neutral":
        made.deltaNeutralContract = DeltaNeutralContract()
        made.deltaNeutralContract.conId = 88
        made.deltaNeutralContract.delta, made.deltaNeutralContract.price = 0.5, 101.5
    return made


def _leg(con_id: int, action: str) -> ComboLeg:
    leg = ComboLeg()
    leg.conId, leg.ratio, leg.action, leg.exchange = con_id, 2, action, "SMART"
    leg.openClose, leg.shortSaleSlot, leg.designatedLocation, leg.exemptCode = 1, 2, "there", 4
    return leg


def terms(shape: str, version: int) -> dict[str, Any]:
    """Return what an order of ``shape`` says at ``version`` and openOrder tells back."""
    said = {"action": "BUY", "totalQuantity": Decimal(10), "orderType": "LMT", "lmtPrice": 99.5}
    said |= {"tif": "DAY", **SHAPES[shape]}
    if shape == "every term":
        said |= {name: value for name, (since, value) in TOLD_LATER.items() if version >= since}
    return said


def order(shape: str, version: int) -> Order:
    """Return an order of ``shape`` that says all it can at ``version``."""
    made = Order()
    said = terms(shape, version)
    if shape == "every term":
        said |= {name: value for name, (since, value) in NOT_TOLD.items() if version >= since}
        made.softDollarTier = SoftDollarTier("tier", "value", "")
        made.orderMiscOptions = [TagValue("misc", "1")]
    for name, value in said.items():
        assert hasattr(made, name), name
        setattr(made, name, value)
    if shape == "combo":
        made.orderComboLegs = [OrderComboLeg(), OrderComboLeg()]
        made.orderComboLegs[0].price = 1.5
        made.smartComboRoutingParams = [TagValue("NonGuaranteed", "1")]
    if shape == "algorithm":
        made.algoParams = [TagValue("adaptivePriority", "Normal"), TagValue("x", "y")]
    if shape == "conditions":
        made.conditions = conditions()
    return made


def conditions() -> list[Any]:
    """Return one condition of each type."""
    price = PriceCondition(2, 265598, "SMART", True, 190.5)
    moment = TimeCondition(False, "20260105 10:00:00 UTC")
    margin = MarginCondition(True, 25.0)
    execution = ExecutionCondition("STK", "SMART", "AAPL")
    volume = VolumeCondition(265598, "SMART", True, 1000)
    change = PercentChangeCondition(265598, "SMART", False, 2.5)
    made = [price, moment, margin, execution, volume, change]
    for at, each in enumerate(made):
        each.isConjunctionConnection = at % 2 == 0
    return made
