"""Where each term of an order stands in openOrder and completedOrder, by server version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from alluse_gateway.requests import OrderExtras
from alluse_gateway.wire import UNSET_DOUBLE, UNSET_INT_TEXT, joined, text

if TYPE_CHECKING:
    from alluse_gateway.answers.orders import OrderEcho


class Run:
    """Consecutive fields: the API's names of terms, and what TWS writes where one is not given."""

    __slots__ = ("_names", "_rows", "_usual")

    def __init__(self, table: str) -> None:
        pairs = [each.partition("=") for each in table.split()]
        self._rows = [(name, usual) for name, _, usual in pairs]
        self._names = frozenset(name for name, _ in self._rows)
        self._usual = joined(*[usual for _, usual in self._rows])

    def text(self, terms: Mapping[str, str]) -> str:
        """Return the fields."""
        if terms.keys().isdisjoint(self._names):
            return self._usual
        return joined(*[terms.get(name, usual) for name, usual in self._rows])


_NONE = UNSET_DOUBLE
_INT = UNSET_INT_TEXT

OPENING = Run("openClose= origin=0")
_HIDDEN = Run("hidden=0 discretionaryAmt=0")
_FA = Run("faGroup= faMethod= faPercentage=")
_PROFILE = Run("faProfile=")
_MODEL = Run("modelCode=")
_FIRM = Run(
    "rule80A= percentOffset= settlingFirm= shortSaleSlot=0 designatedLocation= exemptCode=-1"
)
_AUCTION = Run("auctionStrategy=0")
_BOX = Run(
    f"startingPrice= stockRefPrice= delta= stockRangeLower= stockRangeUpper= displaySize={_INT}"
)
_BLOCK = Run("blockOrder=0")
_SWEEP = Run("sweepToFill=0")
_MINIMUM = Run("minQty=")
_CAP = Run("eTradeOnly=0 firmQuoteOnly=0 nbboPriceCap=")
# TWS writes the word "None", and so the fields that follow it are there.
_VOLATILITY = Run("volatility= volatilityType=0 deltaNeutralOrderType=None deltaNeutralAuxPrice=")
_HEDGING = Run(
    "deltaNeutralConId=0 deltaNeutralSettlingFirm= deltaNeutralClearingAccount= "
    "deltaNeutralClearingIntent= deltaNeutralOpenClose=? deltaNeutralShortSale=0 "
    "deltaNeutralShortSaleSlot=0 deltaNeutralDesignatedLocation="
)
_HEDGING_ENDED = Run(
    "deltaNeutralConId=0 deltaNeutralShortSale=0 deltaNeutralShortSaleSlot=0 "
    "deltaNeutralDesignatedLocation="
)
_TRAIL = Run("continuousUpdate=0 referencePriceType=0 trailStopPrice= trailingPercent=")
_SIZES = Run(f"scaleInitLevelSize={_INT} scaleSubsLevelSize={_INT} scalePriceIncrement=")
_SCALE = Run(
    f"scalePriceAdjustValue={_NONE} scalePriceAdjustInterval={_INT} scaleProfitOffset={_NONE} "
    f"scaleAutoReset=0 scaleInitPosition={_INT} scaleInitFillQty={_INT} scaleRandomPercent=0"
)
_HEDGE = Run("hedgeType=")
_HEDGE_PARAMETER = Run("hedgeParam=")
_SMART = Run("optOutSmartRouting=0")
_CLEARING = Run("clearingAccount= clearingIntent=IB notHeld=0")
_ALGORITHM = Run("algoStrategy=")
_SOLICITED = Run("solicited=0")
_RANDOM = Run("randomizeSize=0 randomizePrice=0")
_BENCHMARK = Run(
    "referenceContractId=0 isPeggedChangeAmountDecrease=0 peggedChangeAmount=0 "
    "referenceChangeAmount=0 referenceExchangeId="
)
_ON_CONDITION = Run("conditionsIgnoreRth=0 conditionsCancelOrder=0")
_ADJUSTED = Run(
    f"adjustedOrderType=None triggerPrice={_NONE} trailStopPrice={_NONE} lmtPriceOffset={_NONE} "
    f"adjustedStopPrice={_NONE} adjustedStopLimitPrice={_NONE} adjustedTrailingAmount={_NONE} "
    "adjustableTrailingUnit=0 softDollarTier.name= softDollarTier.value= softDollarTier.display= "
    "cashQty=0 dontUseAutoPriceForHedge=0 isOmsContainer=0 discretionaryUpToLimitPrice=0 "
    "usePriceMgmtAlgo=0"
)
_ENDED = Run(
    f"trailStopPrice={_NONE} lmtPriceOffset={_NONE} cashQty=0 dontUseAutoPriceForHedge=1 "
    "isOmsContainer=0 autoCancelDate="
)
# The usual numbers of the pegged terms are TWS's own.
_PEGGED = Run(
    "minTradeQty= minCompeteSize=100 competeAgainstBestOffset=0.02 midOffsetAtWhole= "
    "midOffsetAtHalf="
)
_CUSTOMER = ((183, Run("customerAccount=")), (184, Run("professionalCustomer=0")))
_OPEN_LATER = (
    (158, Run(f"duration={_INT}")),
    (160, Run(f"postToAts={_INT}")),
    (162, Run("autoCancelParent=0")),
    (170, _PEGGED),
    *_CUSTOMER,
    (185, Run("bondAccruedInterest=")),
    (189, Run("includeOvernight=0")),
    (193, Run(f"extOperator= manualOrderIndicator={_INT}")),
    (198, Run("submitter=")),
    (199, Run("imbalanceOnly=0")),
)
_ENDED_LATER = ((170, _PEGGED), *_CUSTOMER, (198, Run("submitter=")))


def open_order_head(echo: OrderEcho, version: int) -> str:
    """Return openOrder's fields from the order reference to whatIf."""
    extras = echo.extras
    terms = extras.terms
    head = [joined(echo.order_ref, str(echo.client_id), str(echo.perm_id), text(echo.outside_rth))]
    head += [_HIDDEN.text(terms)]
    head += [joined(echo.good_after, f"{echo.perm_id}.0/{echo.account}/100")]
    head += [_allocation(terms, version), _MODEL.text(terms), echo.good_till, "\0"]
    head += [_FIRM.text(terms), _AUCTION.text(terms), _BOX.text(terms), _BLOCK.text(terms)]
    head += [_SWEEP.text(terms), text(echo.all_or_none), "\0", _MINIMUM.text(terms)]
    head += [f"{echo.oca_type}\0", _CAP.text(terms)]
    head += [f"{echo.parent_id}\0{echo.trigger_method}\0"]
    head += [_VOLATILITY.text(terms), _HEDGING.text(terms), _TRAIL.text(terms)]
    head += ["\0\0"]  # basisPoints and their type, of exchanges' combos only
    head += [_combo(extras), _scale(terms), _hedge(terms), _SMART.text(terms)]
    head += [_CLEARING.text(terms), _neutral(extras), _algorithm(extras)]
    head += [_SOLICITED.text(terms), "1\0" if echo.what_if else "0\0"]
    return "".join(head)


def open_order_tail(echo: OrderEcho, version: int) -> str:
    """Return openOrder's fields after the warning text."""
    extras = echo.extras
    tail = [_RANDOM.text(extras.terms), _benchmark(echo), _conditions(extras)]
    tail += [_ADJUSTED.text(extras.terms)]
    tail += [run.text(extras.terms) for since, run in _OPEN_LATER if version >= since]
    return "".join(tail)


def completed_order_head(echo: OrderEcho, version: int) -> str:
    """Return completedOrder's fields from the order reference to solicited."""
    extras = echo.extras
    terms = extras.terms
    head = [joined(echo.order_ref, str(echo.perm_id), text(echo.outside_rth))]
    head += [_HIDDEN.text(terms), echo.good_after, "\0", _allocation(terms, version)]
    head += [_MODEL.text(terms), echo.good_till, "\0", _FIRM.text(terms), _BOX.text(terms)]
    head += [_SWEEP.text(terms), text(echo.all_or_none), "\0", _MINIMUM.text(terms)]
    head += [f"{echo.oca_type}\0{echo.trigger_method}\0", _VOLATILITY.text(terms)]
    head += [_HEDGING_ENDED.text(terms), _TRAIL.text(terms), _combo(extras), _scale(terms)]
    head += [_hedge(terms), _CLEARING.text(terms), _neutral(extras), _algorithm(extras)]
    head += [_SOLICITED.text(terms)]
    return "".join(head)


def completed_order_tail(echo: OrderEcho, version: int, filled: str, ended: str, why: str) -> str:
    """Return completedOrder's fields after the status."""
    extras = echo.extras
    terms = extras.terms
    tail = [_RANDOM.text(terms), _benchmark(echo), _conditions(extras), _ENDED.text(terms)]
    cancel_parent, imbalance = terms.get("autoCancelParent", "0"), terms.get("imbalanceOnly", "0")
    # filledQuantity, refFuturesConId, ..., shareholder, ..., routeMarketableToBbo, parentPermId
    tail += [joined(filled, "0", cancel_parent, "", imbalance, "0", str(echo.parent_perm_id))]
    tail += [joined(ended, why)]
    tail += [run.text(terms) for since, run in _ENDED_LATER if version >= since]
    return "".join(tail)


def _allocation(terms: Mapping[str, str], version: int) -> str:
    return _FA.text(terms) + (_PROFILE.text(terms) if version < 177 else "")


def _combo(extras: OrderExtras) -> str:
    """From the legs' description to the routing."""
    if not extras.legs:
        return "\0" + "0\0" * 3
    row = ["", str(len(extras.legs))]
    for leg in extras.legs:
        row += [str(leg.con_id), str(leg.ratio), leg.action, leg.exchange, str(leg.open_close)]
        row += [str(leg.short_sale_slot), leg.designated_location, str(leg.exempt_code)]
    row += [str(len(extras.leg_prices)), *extras.leg_prices]
    row += [str(len(extras.routing)), *[each for pair in extras.routing for each in pair]]
    return joined(*row)


def _scale(terms: Mapping[str, str]) -> str:
    sizes = _SIZES.text(terms)
    increment = terms.get("scalePriceIncrement", "")
    return sizes + (_SCALE.text(terms) if increment and float(increment) > 0 else "")


def _hedge(terms: Mapping[str, str]) -> str:
    return _HEDGE.text(terms) + (_HEDGE_PARAMETER.text(terms) if "hedgeType" in terms else "")


def _neutral(extras: OrderExtras) -> str:
    return joined("1", *extras.delta_neutral) if extras.delta_neutral else "0\0"


def _algorithm(extras: OrderExtras) -> str:
    name = _ALGORITHM.text(extras.terms)
    if name == "\0":
        return name
    pairs = [each for pair in extras.algorithm for each in pair]
    return name + joined(str(len(extras.algorithm)), *pairs)


def _benchmark(echo: OrderEcho) -> str:
    pegged = echo.order_type in ("PEG BENCH", "PEGBENCH")
    return _BENCHMARK.text(echo.extras.terms) if pegged else ""


def _conditions(extras: OrderExtras) -> str:
    if not extras.conditions:
        return "0\0"
    rows = [each for row in extras.conditions for each in row]
    return joined(str(len(extras.conditions)), *rows) + _ON_CONDITION.text(extras.terms)
