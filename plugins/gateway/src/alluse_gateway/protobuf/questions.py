"""Every request: its message, and the text that the same request has at version 200.

A row is the text with one word per field: ``name`` and ``name.name`` are fields of the message,
``'..'`` is itself, and ``@name`` is a step that writes any number of fields. A field that is absent
is empty in text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import groupby
from typing import Any

import attrs
from google.protobuf.message import Message

from alluse_gateway.protobuf.order_questions import ORDER, order_steps
from alluse_gateway.protobuf.order_replies import TRADED
from alluse_gateway.protobuf.schema import schema
from alluse_gateway.protobuf.writing import Writer, flag, flattened, put, tags_joined

CONTRACT = " ".join(
    f"contract.{name}" for name in TRADED.replace("exchange", "exchange primaryExch").split()
)
"""The twelve fields that name a contract in a request."""

_WITHOUT_PRIMARY = CONTRACT.replace(" contract.primaryExch", "")

_FILTER = " ".join(
    f"executionFilter.{name}"
    for name in ("clientId", "acctCode", "time", "symbol", "secType", "exchange", "side")
)
_CANCEL = "orderCancel.extOperator orderCancel.manualOrderIndicator"
_SCANNER = " ".join(
    f"scannerSubscription.{name}"
    for name in (
        *("numberOfRows", "instrument", "locationCode", "scanCode", "abovePrice", "belowPrice"),
        *("aboveVolume", "marketCapAbove", "marketCapBelow", "moodyRatingAbove"),
        *("moodyRatingBelow", "spRatingAbove", "spRatingBelow", "maturityDateAbove"),
        *("maturityDateBelow", "couponRateAbove", "couponRateBelow", "excludeConvertible"),
        *("averageOptionVolumeAbove", "scannerSettingPairs", "stockTypeFilter"),
    )
)

ROWS: dict[int, tuple[str, str]] = {
    # id: (message, row)
    1: (
        "MarketDataRequest",
        f"'11' reqId {CONTRACT} @legs @delta_neutral genericTickList snapshot regulatorySnapshot"
        " @marketDataOptions",
    ),
    2: ("CancelMarketData", "'2' reqId"),
    3: ("PlaceOrderRequest", f"orderId {CONTRACT} {ORDER}"),
    4: ("CancelOrderRequest", f"orderId orderCancel.manualOrderCancelTime {_CANCEL}"),
    5: ("OpenOrdersRequest", "'1'"),
    6: ("AccountDataRequest", "'2' subscribe acctCode"),
    7: ("ExecutionRequest", f"reqId {_FILTER} executionFilter.lastNDays @dates"),
    8: ("IdsRequest", "'1' numIds"),
    9: (
        "ContractDataRequest",
        f"'8' reqId {CONTRACT} contract.includeExpired contract.secIdType contract.secId"
        " contract.issuerId",
    ),
    10: ("MarketDepthRequest", f"'5' reqId {CONTRACT} numRows isSmartDepth @marketDepthOptions"),
    11: ("CancelMarketDepth", "'1' reqId isSmartDepth"),
    12: ("NewsBulletinsRequest", "'1' allMessages"),
    13: ("CancelNewsBulletins", "'1'"),
    14: ("SetServerLogLevelRequest", "'1' logLevel"),
    15: ("AutoOpenOrdersRequest", "'1' autoBind"),
    16: ("AllOpenOrdersRequest", "'1'"),
    17: ("ManagedAccountsRequest", "'1'"),
    18: ("FARequest", "'1' faDataType"),
    19: ("FAReplace", "'1' faDataType xml reqId"),
    20: (
        "HistoricalDataRequest",
        f"reqId {CONTRACT} contract.includeExpired endDateTime barSizeSetting duration useRTH"
        " whatToShow formatDate @legs keepUpToDate @chartOptions",
    ),
    21: (
        "ExerciseOptionsRequest",
        f"'2' orderId {_WITHOUT_PRIMARY} exerciseAction exerciseQuantity account override"
        " manualOrderTime customerAccount professionalCustomer",
    ),
    22: (
        "ScannerSubscriptionRequest",
        f"reqId {_SCANNER} @scannerSubscriptionFilterOptions @scannerSubscriptionOptions",
    ),
    23: ("CancelScannerSubscription", "'1' reqId"),
    24: ("ScannerParametersRequest", "'1'"),
    25: ("CancelHistoricalData", "'1' reqId"),
    49: ("CurrentTimeRequest", "'1'"),
    50: (
        "RealTimeBarsRequest",
        f"'3' reqId {CONTRACT} barSize whatToShow useRTH @realTimeBarsOptions",
    ),
    51: ("CancelRealTimeBars", "'1' reqId"),
    54: (
        "CalculateImpliedVolatilityRequest",
        f"'3' reqId {CONTRACT} optionPrice underPrice @counted_impliedVolatilityOptions",
    ),
    55: (
        "CalculateOptionPriceRequest",
        f"'3' reqId {CONTRACT} volatility underPrice @counted_optionPriceOptions",
    ),
    56: ("CancelCalculateImpliedVolatility", "'1' reqId"),
    57: ("CancelCalculateOptionPrice", "'1' reqId"),
    58: ("GlobalCancelRequest", _CANCEL),
    59: ("MarketDataTypeRequest", "'1' marketDataType"),
    61: ("PositionsRequest", "'1'"),
    62: ("AccountSummaryRequest", "'1' reqId group tags"),
    63: ("CancelAccountSummary", "'1' reqId"),
    64: ("CancelPositions", "'1'"),
    65: ("VerifyRequest", "'1' apiName apiVersion"),
    66: ("VerifyMessageRequest", "'1' apiData"),
    67: ("QueryDisplayGroupsRequest", "'1' reqId"),
    68: ("SubscribeToGroupEventsRequest", "'1' reqId groupId"),
    69: ("UpdateDisplayGroupRequest", "'1' reqId contractInfo"),
    70: ("UnsubscribeFromGroupEventsRequest", "'1' reqId"),
    71: ("StartApiRequest", "'2' clientId optionalCapabilities"),
    74: ("PositionsMultiRequest", "'1' reqId account modelCode"),
    75: ("CancelPositionsMulti", "'1' reqId"),
    76: ("AccountUpdatesMultiRequest", "'1' reqId account modelCode ledgerAndNLV"),
    77: ("CancelAccountUpdatesMulti", "'1' reqId"),
    78: (
        "SecDefOptParamsRequest",
        "reqId underlyingSymbol futFopExchange underlyingSecType underlyingConId",
    ),
    79: ("SoftDollarTiersRequest", "reqId"),
    80: ("FamilyCodesRequest", ""),
    81: ("MatchingSymbolsRequest", "reqId pattern"),
    82: ("MarketDepthExchangesRequest", ""),
    83: ("SmartComponentsRequest", "reqId bboExchange"),
    84: ("NewsArticleRequest", "reqId providerCode articleId @newsArticleOptions"),
    85: ("NewsProvidersRequest", ""),
    86: (
        "HistoricalNewsRequest",
        "reqId conId providerCodes startDateTime endDateTime totalResults @historicalNewsOptions",
    ),
    87: (
        "HeadTimestampRequest",
        f"reqId {CONTRACT} contract.includeExpired useRTH whatToShow formatDate",
    ),
    88: (
        "HistogramDataRequest",
        f"reqId {CONTRACT} contract.includeExpired useRTH timePeriod",
    ),
    89: ("CancelHistogramData", "reqId"),
    90: ("CancelHeadTimestamp", "reqId"),
    91: ("MarketRuleRequest", "marketRuleId"),
    92: ("PnLRequest", "reqId account modelCode"),
    93: ("CancelPnL", "reqId"),
    94: ("PnLSingleRequest", "reqId account modelCode conId"),
    95: ("CancelPnLSingle", "reqId"),
    96: (
        "HistoricalTicksRequest",
        f"reqId {CONTRACT} contract.includeExpired startDateTime endDateTime numberOfTicks"
        " whatToShow useRTH ignoreSize @miscOptions",
    ),
    97: ("TickByTickRequest", f"reqId {CONTRACT} tickType numberOfTicks ignoreSize"),
    98: ("CancelTickByTick", "reqId"),
    99: ("CompletedOrdersRequest", "apiOnly"),
    100: ("WshMetaDataRequest", "reqId"),
    101: ("CancelWshMetaData", "reqId"),
    102: (
        "WshEventDataRequest",
        "reqId conId filter fillWatchlist fillPortfolio fillCompetitors startDate endDate"
        " totalLimit",
    ),
    103: ("CancelWshEventData", "reqId"),
    104: ("UserInfoRequest", "reqId"),
    105: ("CurrentTimeInMillisRequest", ""),
    106: ("CancelContractData", "reqId"),
    107: ("CancelHistoricalTicks", "reqId"),
}
"""Requests by message id."""


@attrs.frozen
class Question:
    """One kind of request: its message, and its text.

    A part of the text is a step, or a run of fields: each a path into the message, and what stands
    there where the message has nothing.
    """

    message: Callable[[], Message]
    parts: tuple[Writer | tuple[tuple[str, str], ...], ...]

    def fields(self, kind: int, message: Message) -> list[str]:
        """Return the request as the fields of its text, the message id first."""
        row = [str(kind)]
        flat = flattened(message)
        for part in self.parts:
            if isinstance(part, tuple):
                row += [flat.get(path, absent) for path, absent in part]
            else:
                part(message, row)
        return row


def _legs(message: Any, row: list[str]) -> None:
    if message.contract.secType == "BAG":
        row.append(str(len(message.contract.comboLegs)))
        for leg in message.contract.comboLegs:
            row += [put(leg, name) for name in ("conId", "ratio", "action", "exchange")]


def _delta_neutral(message: Any, row: list[str]) -> None:
    there = message.contract.HasField("deltaNeutralContract")
    row.append(flag(there))
    if there:
        part = message.contract.deltaNeutralContract
        row += [put(part, name) for name in ("conId", "delta", "price")]


def _dates(message: Any, row: list[str]) -> None:
    dates = message.executionFilter.specificDates
    row += [str(len(dates)), *[str(date) for date in dates]]


def _options(name: str) -> Writer:
    def write(message: Any, row: list[str]) -> None:
        row.append(tags_joined(getattr(message, name)))

    return write


def _counted_options(name: str) -> Writer:
    def write(message: Any, row: list[str]) -> None:
        options = getattr(message, name)
        row.append(str(len(options)))
        if options:
            row.append(tags_joined(options))

    return write


def _scanner_options(name: str) -> Writer:
    def write(message: Any, row: list[str]) -> None:
        row.append(tags_joined(getattr(message.scannerSubscription, name)))

    return write


_STEPS: dict[str, Writer] = {"legs": _legs, "delta_neutral": _delta_neutral, "dates": _dates}


def _step(word: str) -> Writer:
    """Return what writes the fields that a step of a row stands for."""
    name = word[1:]
    if name.startswith("counted_"):
        return _counted_options(name.removeprefix("counted_"))
    if name.startswith("scanner"):
        return _scanner_options(name)
    return {**_STEPS, **order_steps()}.get(name) or _options(name)


def _field(message: str, word: str) -> tuple[str, str]:
    """Return a word's path and what stands there where it is absent. Raises KeyError."""
    if word.startswith("'"):
        return word, word.strip("'")
    *path, last = word.split(".")
    fields = schema().fields[message]
    for part in path:
        fields = schema().fields[fields[part].kind]
    if last not in fields:
        raise KeyError(f"{message} has no field {word}")
    return word, ""


def _parts(message: str, row: str) -> Iterator[Writer | tuple[tuple[str, str], ...]]:
    for is_step, words in groupby(row.split(), lambda word: word.startswith("@")):
        if is_step:
            yield from (_step(word) for word in words)
        else:
            yield tuple(_field(message, word) for word in words)


@cache
def questions() -> Mapping[int, Question]:
    """Return how each request is written as text; made once."""
    classes = schema().classes
    return {
        kind: Question(classes[name], tuple(_parts(name, row)))
        for kind, (name, row) in ROWS.items()
    }
