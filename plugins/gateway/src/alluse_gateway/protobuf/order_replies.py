"""The text of orders and executions, the longest rows there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alluse_gateway.protobuf.layout import (
    Fields,
    Step,
    count,
    layout,
    read_double,
    read_flag,
    read_int,
)

TRADED = (
    "conId symbol secType lastTradeDateOrContractMonth strike right multiplier exchange currency"
    " localSymbol tradingClass"
)
"""The contract as executions, orders and positions name it."""

EXECUTION = (
    f"reqId execution(orderId) contract({TRADED}) execution(execId time acctNumber exchange side"
    " shares price permId clientId isLiquidation cumQty avgPrice orderRef evRule evMultiplier"
    " modelCode lastLiquidity isPriceRevisionPending submitter)"
)

_TERMS = (
    "action totalQuantity orderType lmtPrice auxPrice tif ocaGroup account openClose origin"
    " orderRef"
)
_SHORT_SALE = "shortSaleSlot designatedLocation exemptCode"
_STOCK_RANGE = "startingPrice stockRefPrice delta stockRangeLower stockRangeUpper displaySize"
LEG = "conId ratio action exchange openClose shortSalesSlot designatedLocation exemptCode"
"""The leg of a combo, as requests have it too."""

SCALED = (
    "scalePriceAdjustValue scalePriceAdjustInterval scaleProfitOffset scaleAutoReset"
    " scaleInitPosition scaleInitFillQty scaleRandomPercent"
)
"""What follows a price increment, as in requests."""

NEUTRAL = (
    "deltaNeutralConId deltaNeutralSettlingFirm deltaNeutralClearingAccount"
    " deltaNeutralClearingIntent deltaNeutralOpenClose deltaNeutralShortSale"
    " deltaNeutralShortSaleSlot deltaNeutralDesignatedLocation"
)
"""What follows the type of a delta neutral order, as in requests."""

_SCALE = (
    f"scaleInitLevelSize scaleSubsLevelSize scalePriceIncrement?({SCALED}) hedgeType?(hedgeParam)"
)
_ROUTING = (
    f"contract(comboLegsDescrip comboLegs*({LEG})) @leg_prices order(smartComboRoutingParams{{}}"
    f" {_SCALE}"
)
_DELTA_NEUTRAL = "contract(deltaNeutralContract?(conId delta price))"
_PEG_OFFSETS = (
    "minTradeQty minCompeteSize competeAgainstBestOffset midOffsetAtWhole midOffsetAtHalf"
)
_MARGINS = (
    "initMarginBefore maintMarginBefore equityWithLoanBefore initMarginChange maintMarginChange"
    " equityWithLoanChange initMarginAfter maintMarginAfter equityWithLoanAfter"
)
_MARGINS_OUTSIDE_RTH = " ".join(f"{name}OutsideRTH" for name in _MARGINS.split())
_STATE = (
    f"status {_MARGINS} commissionAndFees minCommissionAndFees maxCommissionAndFees"
    f" commissionAndFeesCurrency marginCurrency {_MARGINS_OUTSIDE_RTH} suggestedSize rejectReason"
    " orderAllocations*(account position positionDesired positionAfter desiredAllocQty"
    " allowedAllocQty isMonetary) warningText~"
)

OPEN_ORDER = (
    f"orderId contract({TRADED}) order({_TERMS} clientId permId outsideRth hidden discretionaryAmt"
    " goodAfterTime _ faGroup faMethod faPercentage modelCode goodTillDate rule80A percentOffset"
    f" settlingFirm {_SHORT_SALE} _ {_STOCK_RANGE} blockOrder sweepToFill allOrNone minQty ocaType"
    " _ _ _ parentId triggerMethod volatility volatilityType deltaNeutralOrderType"
    f" deltaNeutralAuxPrice ?deltaNeutralOrderType({NEUTRAL}) continuousUpdate"
    f" referencePriceType trailStopPrice trailingPercent _ _) {_ROUTING} optOutSmartRouting"
    f" clearingAccount clearingIntent notHeld) {_DELTA_NEUTRAL} order(algoStrategy?(algoParams{{}})"
    f" solicited whatIf) orderState({_STATE}) order(randomizeSize randomizePrice @benchmark"
    " @conditions adjustedOrderType triggerPrice trailStopPrice lmtPriceOffset adjustedStopPrice"
    " adjustedStopLimitPrice adjustedTrailingAmount adjustableTrailingUnit"
    " softDollarTier(name value displayName) cashQty dontUseAutoPriceForHedge isOmsContainer"
    " discretionaryUpToLimitPrice usePriceMgmtAlgo duration postToAts autoCancelParent"
    f" {_PEG_OFFSETS} customerAccount professionalCustomer bondAccruedInterest includeOvernight"
    " extOperator manualOrderIndicator submitter imbalanceOnly)"
)

COMPLETED_ORDER = (
    f"contract({TRADED}) order({_TERMS} permId outsideRth hidden discretionaryAmt goodAfterTime"
    " faGroup faMethod faPercentage modelCode goodTillDate rule80A percentOffset settlingFirm"
    f" {_SHORT_SALE} {_STOCK_RANGE} sweepToFill allOrNone minQty ocaType triggerMethod volatility"
    " volatilityType deltaNeutralOrderType deltaNeutralAuxPrice ?deltaNeutralOrderType("
    "deltaNeutralConId deltaNeutralShortSale deltaNeutralShortSaleSlot"
    " deltaNeutralDesignatedLocation)"
    f" continuousUpdate referencePriceType trailStopPrice trailingPercent) {_ROUTING}"
    f" clearingAccount clearingIntent notHeld) {_DELTA_NEUTRAL} order(algoStrategy?(algoParams{{}})"
    " solicited) orderState(status) order(randomizeSize randomizePrice @benchmark @conditions"
    " trailStopPrice lmtPriceOffset cashQty dontUseAutoPriceForHedge isOmsContainer autoCancelDate"
    " filledQuantity refFuturesConId autoCancelParent shareholder imbalanceOnly"
    " routeMarketableToBbo parentPermId) orderState(completedTime completedStatus~)"
    f" order({_PEG_OFFSETS} customerAccount professionalCustomer submitter)"
)

CONDITION_ROWS = {
    1: "@conjunction isMore price conId exchange triggerMethod",
    3: "@conjunction isMore time",
    4: "@conjunction isMore percent",
    5: "@conjunction secType exchange symbol",
    6: "@conjunction isMore volume conId exchange",
    7: "@conjunction isMore changePercent conId exchange",
}
"""The text of each type of condition: price, time, margin, execution, volume, percent change."""


def _leg_prices(fields: Fields, answer: Any) -> None:
    """Prices stand in a list of their own, and belong to the legs that were read before."""
    legs = answer.contract.comboLegs
    for at in range(count(fields)):
        price = read_double(next(fields))
        if price is not None and at < len(legs):
            legs[at].perLegPrice = price


def _conjunction(fields: Fields, condition: Any) -> None:
    condition.isConjunctionConnection = next(fields) == "a"


def steps() -> Mapping[str, Step]:
    """Return the steps that the rows of orders name."""
    benchmark = layout(
        "Order",
        "referenceContractId isPeggedChangeAmountDecrease peggedChangeAmount"
        " referenceChangeAmount referenceExchangeId",
    )
    named: dict[str, Step] = {"conjunction": _conjunction}
    readers = {kind: layout("OrderCondition", row, named) for kind, row in CONDITION_ROWS.items()}

    def to_benchmark(fields: Fields, order: Any) -> None:
        if order.orderType in ("PEG BENCH", "PEGBENCH"):
            benchmark(fields, order)

    def conditions(fields: Fields, order: Any) -> None:
        length = count(fields)
        for _ in range(length):
            condition = order.conditions.add(type=read_int(next(fields)))
            readers[condition.type](fields, condition)
        if length:
            order.conditionsIgnoreRth = bool(read_flag(next(fields)))
            order.conditionsCancelOrder = bool(read_flag(next(fields)))

    return {"leg_prices": _leg_prices, "benchmark": to_benchmark, "conditions": conditions}
