"""The text of placeOrder, written from the protobuf form of an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alluse_gateway.protobuf.order_replies import CONDITION_ROWS, LEG, NEUTRAL, SCALED
from alluse_gateway.protobuf.writing import Writer, flag, ordered, printed, put, tags_joined


def _of_order(names: str) -> str:
    return " ".join(name if name[0] in "'@" else f"order.{name}" for name in names.split())


ORDER = "contract.secIdType contract.secId " + _of_order(
    "action totalQuantity orderType lmtPrice auxPrice tif ocaGroup account openClose origin"
    " orderRef transmit parentId blockOrder sweepToFill displaySize triggerMethod outsideRth hidden"
    " @combo '' discretionaryAmt goodAfterTime goodTillDate faGroup faMethod faPercentage modelCode"
    " shortSaleSlot designatedLocation exemptCode ocaType rule80A settlingFirm allOrNone minQty"
    " percentOffset '0' '0' '' '0' startingPrice stockRefPrice delta stockRangeLower"
    " stockRangeUpper overridePercentageConstraints volatility volatilityType"
    " deltaNeutralOrderType deltaNeutralAuxPrice @delta_neutral_order continuousUpdate"
    " referencePriceType trailStopPrice trailingPercent scaleInitLevelSize scaleSubsLevelSize"
    " scalePriceIncrement @scale scaleTable activeStartTime activeStopTime hedgeType @hedge"
    " optOutSmartRouting clearingAccount clearingIntent notHeld @delta_neutral algoStrategy @algo"
    " algoId whatIf @misc_options solicited randomizeSize randomizePrice @benchmark @conditions"
    " adjustedOrderType triggerPrice lmtPriceOffset adjustedStopPrice adjustedStopLimitPrice"
    " adjustedTrailingAmount adjustableTrailingUnit extOperator softDollarTier.name"
    " softDollarTier.value cashQty mifid2DecisionMaker mifid2DecisionAlgo mifid2ExecutionTrader"
    " mifid2ExecutionAlgo dontUseAutoPriceForHedge isOmsContainer discretionaryUpToLimitPrice"
    " usePriceMgmtAlgo duration postToAts autoCancelParent advancedErrorOverride manualOrderTime"
    " @peg_offsets customerAccount professionalCustomer includeOvernight manualOrderIndicator"
    " imbalanceOnly"
)
"""What follows the contract in placeOrder's row."""

_BENCHMARK = (
    *("referenceContractId", "isPeggedChangeAmountDecrease", "peggedChangeAmount"),
    *("referenceChangeAmount", "referenceExchangeId"),
)
_BEYOND = (
    *("deactivate", "postOnly", "allowPreOpen", "ignoreOpenAuction", "seekPriceImprovement"),
    *("routeMarketableToBbo", "whatIfType", "hedgeMaxSize", "conditionsIncludeOvernight"),
)
"""Fields of an order that came after the text form had ended."""


def beyond_text(message: Any) -> dict[str, str]:
    """Return the terms of an order that its text cannot say, by the API's names."""
    order, attached = message.order, message.attachedOrders
    terms = {name: put(order, name) for name in _BEYOND if getattr(order, name)}
    if attached.slOrderType or attached.ptOrderType:
        terms["attachedOrders"] = f"{attached.slOrderType},{attached.ptOrderType}"
    return terms


def _all(part: Any, names: Sequence[str]) -> list[str]:
    return [put(part, name) for name in names]


def _combo(message: Any, row: list[str]) -> None:
    if message.contract.secType != "BAG":
        return
    legs = message.contract.comboLegs
    row.append(str(len(legs)))
    for leg in legs:
        row += _all(leg, LEG.split())
    row += [str(len(legs)), *[put(leg, "perLegPrice") for leg in legs]]
    _tags(message.order.smartComboRoutingParams, row)


def _tags(options: Mapping[str, str], row: list[str]) -> None:
    row.append(str(len(options)))
    for tag, value in ordered(options):
        row += [printed(tag), printed(value)]


def _delta_neutral_order(message: Any, row: list[str]) -> None:
    if message.order.deltaNeutralOrderType:
        row += _all(message.order, NEUTRAL.split())


def _scale(message: Any, row: list[str]) -> None:
    if message.order.scalePriceIncrement > 0:
        row += _all(message.order, SCALED.split())


def _hedge(message: Any, row: list[str]) -> None:
    if message.order.hedgeType:
        row.append(put(message.order, "hedgeParam"))


def _algo(message: Any, row: list[str]) -> None:
    if message.order.algoStrategy:
        _tags(message.order.algoParams, row)


def _misc_options(message: Any, row: list[str]) -> None:
    row.append(tags_joined(message.order.orderMiscOptions))


def _benchmark(message: Any, row: list[str]) -> None:
    if message.order.orderType in ("PEG BENCH", "PEGBENCH"):
        row += _all(message.order, _BENCHMARK)


def _conditions(message: Any, row: list[str]) -> None:
    order = message.order
    row.append(str(len(order.conditions)))
    for condition in order.conditions:
        row += [put(condition, "type"), "a" if condition.isConjunctionConnection else "o"]
        words = CONDITION_ROWS.get(condition.type, "").split()
        row += [put(condition, name) for name in words[1:]]
    if order.conditions:
        row += [flag(order.conditionsIgnoreRth), flag(order.conditionsCancelOrder)]


def _peg_offsets(message: Any, row: list[str]) -> None:
    order = message.order
    kind = order.orderType.replace(" ", "")
    offset = order.competeAgainstBestOffset
    if message.contract.exchange == "IBKRATS":
        row.append(put(order, "minTradeQty"))
    if kind == "PEGBEST":
        row += _all(order, ("minCompeteSize", "competeAgainstBestOffset"))
    if kind == "PEGMID" or (kind == "PEGBEST" and offset == float("inf")):
        row += _all(order, ("midOffsetAtWhole", "midOffsetAtHalf"))


def order_steps() -> Mapping[str, Writer]:
    """Return the steps that placeOrder's row names."""
    return {
        "combo": _combo,
        "delta_neutral_order": _delta_neutral_order,
        "scale": _scale,
        "hedge": _hedge,
        "algo": _algo,
        "misc_options": _misc_options,
        "benchmark": _benchmark,
        "conditions": _conditions,
        "peg_offsets": _peg_offsets,
    }
