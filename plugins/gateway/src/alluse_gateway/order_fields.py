"""The terms of an order beyond the plain ones: their names, kinds and defaults, as placeOrder has
them, and how their text is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import NamedTuple

from alluse_gateway.wire import UNSET_DOUBLE, UNSET_INT_TEXT, decimal_text, to_decimal, to_int

Row = tuple[str, Callable[[str], str], str]

_ABSENT = frozenset({"", UNSET_INT_TEXT, UNSET_DOUBLE, "1.7976931348623157e+308"})


def _text(field: str) -> str:
    return field


def _int(field: str) -> str:
    value = to_int(field, 2**31 - 1)
    return "" if value == 2**31 - 1 else str(value)


def _flag(field: str) -> str:
    return "1" if to_int(field, 0) else "0"


def _number(field: str) -> str:
    value = to_decimal(field)
    return "" if value is None else decimal_text(value)


_UP_TO_MID = frozenset({"Infinity", "Infinite", "inf"})
"""Spellings of an offset that reaches to the middle: of IBKR's client and of ib_insync's."""


def _offset(field: str) -> str:
    return "Infinity" if field in _UP_TO_MID else _number(field)


_KINDS = {"s": _text, "i": _int, "f": _flag, "n": _number, "o": _offset}


class Table(NamedTuple):
    """Consecutive fields, and how the client libraries fill them when an order says nothing."""

    rows: tuple[Row, ...]
    usual: tuple[list[str], ...]


def rows(table: str) -> Table:
    """Read ``name kind default`` lines; a flag's default is 0, another's is empty or given."""
    found: list[Row] = []
    for line in table.split(","):
        name, kind, *default = line.split()
        found.append((name, _KINDS[kind], default[0] if default else "0" if kind == "f" else ""))
    return _table(tuple(found))


def _table(found: tuple[Row, ...]) -> Table:
    plain = ["" if default in ("None", "?") else default for _, _, default in found]
    # IBKR's own client spells absent numbers out in some places, and leaves this flag empty.
    spelt = [
        "1.7976931348623157e+308" if kind is _number else "" if name == "usePriceMgmtAlgo" else text
        for (name, kind, _), text in zip(found, plain, strict=True)
    ]
    return Table(found, (plain, spelt))


def read(fields: list[str], table: Table, terms: MutableMapping[str, str]) -> None:
    """Put what ``fields`` say and the API's defaults do not into ``terms``. Raises FieldError."""
    if fields in table.usual:
        return
    for field, (name, kind, default) in zip(fields, table.rows, strict=True):
        if field != default and field not in _ABSENT:
            value = kind(field)
            if value and value != default:
                terms[name] = value


HEAD = rows("openClose s, origin i 0")
DISPLAY = rows("blockOrder f, sweepToFill f, displaySize i 0")
HIDDEN = rows("hidden f")
AMOUNT = rows("discretionaryAmt n 0")
ALLOCATION = rows("faGroup s, faMethod s, faPercentage s")
PROFILE = rows("faProfile s")
MODEL = rows("modelCode s, shortSaleSlot i 0, designatedLocation s, exemptCode i -1")
FIRM = rows("rule80A s, settlingFirm s")
BOX = rows(
    "minQty i, percentOffset n, eTradeOnly f, firmQuoteOnly f, nbboPriceCap n,"
    "auctionStrategy i 0, startingPrice n, stockRefPrice n, delta n, stockRangeLower n,"
    "stockRangeUpper n, overridePercentageConstraints f, volatility n, volatilityType i,"
    "deltaNeutralOrderType s None, deltaNeutralAuxPrice n"
)
DELTA_NEUTRAL = rows(
    "deltaNeutralConId i 0, deltaNeutralSettlingFirm s, deltaNeutralClearingAccount s,"
    "deltaNeutralClearingIntent s, deltaNeutralOpenClose s ?, deltaNeutralShortSale f,"
    "deltaNeutralShortSaleSlot i 0, deltaNeutralDesignatedLocation s"
)
TRAIL = rows(
    "continuousUpdate f, referencePriceType i, trailStopPrice n, trailingPercent n,"
    "scaleInitLevelSize i, scaleSubsLevelSize i, scalePriceIncrement n"
)
SCALE = rows(
    "scalePriceAdjustValue n, scalePriceAdjustInterval i, scaleProfitOffset n, scaleAutoReset f,"
    "scaleInitPosition i, scaleInitFillQty i, scaleRandomPercent f"
)
ACTIVE = rows("scaleTable s, activeStartTime s, activeStopTime s, hedgeType s")
HEDGE = rows("hedgeParam s")
CLEARING = rows("optOutSmartRouting f, clearingAccount s, clearingIntent s, notHeld f")
STRATEGY = rows("algoStrategy s")
ALGORITHM = rows("algoId s")
OPTIONS = rows("orderMiscOptions s, solicited f, randomizeSize f, randomizePrice f")
BENCHMARK = rows(
    "referenceContractId i 0, isPeggedChangeAmountDecrease f, peggedChangeAmount n 0,"
    "referenceChangeAmount n 0, referenceExchangeId s"
)
ON_CONDITION = rows("conditionsIgnoreRth f, conditionsCancelOrder f")
_ADJUSTED = rows(
    "adjustedOrderType s None, triggerPrice n, lmtPriceOffset n, adjustedStopPrice n,"
    "adjustedStopLimitPrice n, adjustedTrailingAmount n, adjustableTrailingUnit i 0,"
    "extOperator s, softDollarTier.name s, softDollarTier.value s, cashQty n 0,"
    "mifid2DecisionMaker s, mifid2DecisionAlgo s, mifid2ExecutionTrader s, mifid2ExecutionAlgo s,"
    "dontUseAutoPriceForHedge f, isOmsContainer f, discretionaryUpToLimitPrice f,"
    "usePriceMgmtAlgo f"
)
_LATER = (
    (158, rows("duration i")),
    (160, rows("postToAts i")),
    (162, rows("autoCancelParent f")),
    (166, rows("advancedErrorOverride s")),
    (169, rows("manualOrderTime s")),
)
"""What versions have put after the adjusted order's fields, before the pegged ones of 170."""

MIN_TRADE = rows("minTradeQty i")
COMPETE = rows("minCompeteSize i, competeAgainstBestOffset o")
MIDPOINT = rows("midOffsetAtWhole n, midOffsetAtHalf n")
_LAST = (
    (183, 10**6, rows("customerAccount s")),
    (184, 10**6, rows("professionalCustomer f")),
    (187, 190, rows("notSupported s, notSupported i")),
    (189, 10**6, rows("includeOvernight f")),
    (192, 10**6, rows("manualOrderIndicator i")),
    (199, 10**6, rows("imbalanceOnly f")),
)
"""(since, before, fields) at the end. The two of 187 to 189 were for requests for quotes."""


def _joined(tables: Iterable[Table]) -> Table:
    return _table(tuple(row for table in tables for row in table.rows))


NEWEST = 200
"""The last version whose text differs from the one before."""

_VERSIONS = range(157, NEWEST + 1)
ADJUSTED = {
    version: _joined([_ADJUSTED, *[table for since, table in _LATER if version >= since]])
    for version in _VERSIONS
}
"""By version: from adjustedOrderType to what stands before the pegged fields."""

LAST = {
    version: _joined([table for since, before, table in _LAST if since <= version < before])
    for version in _VERSIONS
}
"""By version: what stands after the pegged fields."""

CONDITIONS = {
    1: rows("conjunction s, isMore f, price n, conId i, exchange s, triggerMethod i"),
    3: rows("conjunction s, isMore f, time s"),
    4: rows("conjunction s, isMore f, percent n"),
    5: rows("conjunction s, secType s, exchange s, symbol s"),
    6: rows("conjunction s, isMore f, volume i, conId i, exchange s"),
    7: rows("conjunction s, isMore f, changePercent n, conId i, exchange s"),
}
"""Fields of a condition after its type: price, time, margin, execution, volume, percent change."""


def condition(kind: int, fields: Sequence[str]) -> tuple[str, ...]:
    """Return a condition's fields, checked, its type first. Raises FieldError."""
    checked = [
        read_(field) for field, (_, read_, _) in zip(fields, CONDITIONS[kind].rows, strict=True)
    ]
    return str(kind), *checked
