"""Turns the fields of a client's message into a request, by message id and version."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from alluse_gateway import decode_market as market
from alluse_gateway import decode_reference
from alluse_gateway import requests as r
from alluse_gateway.decode_order import Cursor, contract_of, place_order
from alluse_gateway.wire import UNSET_INT, FieldError, to_flag, to_int

Decoder = Callable[[list[str], int], r.Request]

START_API = 71
_CANCEL_ORDER = 4
_UNVERSIONED = 192
"""From here on cancelOrder and reqGlobalCancel carry no version of their own."""


class UnknownMessage(ValueError):
    """The message id belongs to no request."""


class UnreadableMessage(ValueError):
    """The id is known and the rest is not what it should be. ``request_id`` is -1 if unreadable."""

    def __init__(self, text: str, request_id: int) -> None:
        super().__init__(text)
        self.request_id = request_id


def decode(fields: list[str], version: int) -> r.Request:
    """Return the request that ``fields`` say. Raises UnknownMessage or UnreadableMessage."""
    try:
        kind = int(fields[0])
        decoder = _DECODERS[kind]
        if kind > 99 and version < _SINCE.get(kind, 0):
            raise KeyError(kind)
    except (ValueError, KeyError):
        raise UnknownMessage(f"unknown message id {fields[0][:20]!r}") from None
    try:
        return decoder(fields, version)
    except (FieldError, IndexError) as error:
        raise UnreadableMessage(
            f"{NAMES[kind]}: {error}", _request_id(kind, fields, version)
        ) from error


def _request_id(kind: int, fields: list[str], version: int) -> int:
    """Where the request's number would be, so that the client can tell which one failed."""
    at = 1 if kind == _CANCEL_ORDER and version >= _UNVERSIONED else _ID_AT.get(kind, 0)
    try:
        return to_int(fields[at], -1) if 0 < at < len(fields) else -1
    except FieldError:
        return -1


def _number(cls: type[r.Request], at: int) -> Decoder:
    return lambda fields, version: cls(to_int(fields[at]))


def _bare(cls: type[r.Request]) -> Decoder:
    return lambda fields, version: cls()


def _start_api(fields: list[str], version: int) -> r.Request:
    return r.StartApi(-1, to_int(fields[2]), fields[3] if len(fields) > 3 else "")


def _exercise(fields: list[str], version: int) -> r.Request:
    # The contract comes without its primary exchange.
    contract = contract_of([*fields[3:11], "", *fields[11:14]], 0)
    action, quantity = to_int(fields[14]), to_int(fields[15])
    return r.ExerciseOptions(
        to_int(fields[2]), contract, action, quantity, fields[16], to_flag(fields[17])
    )


def _cancel_order(fields: list[str], version: int) -> r.Request:
    cursor = Cursor(fields, 2 if version < _UNVERSIONED else 1)
    order_id = to_int(cursor.take())
    time = cursor.take() if version >= 169 else ""
    if 187 <= version < 190:  # requests for quotes, which 190 took out again
        cursor.skip(3)
    if version < _UNVERSIONED:
        return r.CancelOrder(order_id, time)
    return r.CancelOrder(order_id, time, cursor.take(), _indicator(cursor.take()))


def _global_cancel(fields: list[str], version: int) -> r.Request:
    if version < _UNVERSIONED:
        return r.GlobalCancel()
    return r.GlobalCancel(-1, fields[1], _indicator(fields[2]))


def _indicator(field: str) -> int | None:
    value = to_int(field, UNSET_INT)
    return None if value == UNSET_INT else value


def _executions(fields: list[str], version: int) -> r.Request:
    # Clients of 200 and later differ in whether they still send the message's own version; where
    # they do not, a whole date stands where they would count the dates.
    at = 1 if version >= 200 and not _ends_with_dates(fields, 11) else 2
    if len(fields) < at + 8:
        raise FieldError(f"the message ends at field {len(fields)}")
    days = 0
    dates: tuple[str, ...] = ()
    if version >= 200:
        if not _ends_with_dates(fields, at + 9):
            raise FieldError("the days of the executions are missing")
        days, dates = to_int(fields[at + 8], 0), tuple(fields[at + 10 :])
    account, since, symbol, kind, exchange, side = fields[at + 2 : at + 8]
    number, client = to_int(fields[at]), to_int(fields[at + 1], 0)
    return r.Executions(number, client, account, since, symbol, kind, exchange, side, days, dates)


def _ends_with_dates(fields: list[str], at: int) -> bool:
    """Whether the number of dates stands at ``at`` and just as many follow it."""
    count = fields[at] if at < len(fields) else ""
    return count.isdecimal() and len(count) < 6 and len(fields) == at + 1 + int(count)


def _details(fields: list[str], version: int) -> r.Request:
    contract = contract_of(fields, 3)
    kind, number = fields[16], fields[17]
    if version >= 176:
        fields[18]  # issuerId: no bonds are listed
    if kind or number:
        contract = attrs.evolve(contract, security_id_type=kind, security_id=number)
    return r.ContractDetails(to_int(fields[2]), contract)


def _option_parameters(fields: list[str], version: int) -> r.Request:
    return r.OptionParameters(to_int(fields[1]), fields[2], fields[4], to_int(fields[5], 0))


def _multi(fields: list[str], version: int) -> r.Request:
    return r.AccountUpdatesMulti(to_int(fields[2]), fields[3], fields[4], to_flag(fields[5]))


def _summary(fields: list[str], version: int) -> r.Request:
    tags = tuple(tag.strip() for tag in fields[4].split(",") if tag.strip())
    return r.AccountSummary(to_int(fields[2]), fields[3], tags)


def _cancel_account(kind: int, at: int) -> Decoder:
    return lambda fields, version: r.CancelAccount(to_int(fields[at]) if at else -1, kind)


def _unsupported(name: str, at: int) -> Decoder:
    return lambda fields, version: r.Unsupported(to_int(fields[at]) if at else -1, name)


_TABLE: dict[int, tuple[str, int, Decoder]] = {
    # id: (name, where its request id is, decoder)
    1: ("reqMktData", 2, market.market_data),
    2: ("cancelMktData", 2, _number(r.CancelMarketData, 2)),
    3: ("placeOrder", 1, place_order),
    4: ("cancelOrder", 2, _cancel_order),
    5: ("reqOpenOrders", 0, _bare(r.OpenOrders)),
    6: ("reqAccountUpdates", 0, lambda f, v: r.AccountUpdates(-1, to_flag(f[2]), f[3])),
    7: ("reqExecutions", 2, _executions),
    8: ("reqIds", 0, _bare(r.NextIds)),
    9: ("reqContractDetails", 2, _details),
    10: ("reqMktDepth", 2, market.market_depth),
    11: ("cancelMktDepth", 2, _number(r.CancelMarketDepth, 2)),
    14: ("setServerLogLevel", 0, lambda f, v: r.ServerLogLevel(-1, to_int(f[2], 0))),
    15: ("reqAutoOpenOrders", 0, lambda f, v: r.AutoOpenOrders(-1, to_flag(f[2]))),
    16: ("reqAllOpenOrders", 0, lambda f, v: r.OpenOrders(-1, True)),
    17: ("reqManagedAccts", 0, _bare(r.ManagedAccounts)),
    20: ("reqHistoricalData", 1, market.historical),
    21: ("exerciseOptions", 2, _exercise),
    25: ("cancelHistoricalData", 2, market.cancel_bars),
    49: ("reqCurrentTime", 0, _bare(r.CurrentTime)),
    50: ("reqRealTimeBars", 2, market.real_time_bars),
    51: ("cancelRealTimeBars", 2, _number(r.CancelHistory, 2)),
    54: ("calculateImpliedVolatility", 2, market.calculation),
    55: ("calculateOptionPrice", 2, market.calculation),
    56: ("cancelCalculateImpliedVolatility", 2, _number(r.CancelCalculation, 2)),
    57: ("cancelCalculateOptionPrice", 2, _number(r.CancelCalculation, 2)),
    58: ("reqGlobalCancel", 0, _global_cancel),
    59: ("reqMarketDataType", 0, lambda f, v: r.MarketDataType(-1, to_int(f[2]))),
    61: ("reqPositions", 0, _bare(r.Positions)),
    62: ("reqAccountSummary", 2, _summary),
    63: ("cancelAccountSummary", 2, _cancel_account(62, 2)),
    64: ("cancelPositions", 0, _cancel_account(61, 0)),
    71: ("startApi", 0, _start_api),
    74: ("reqPositionsMulti", 2, lambda f, v: r.PositionsMulti(to_int(f[2]), f[3], f[4])),
    75: ("cancelPositionsMulti", 2, _cancel_account(74, 2)),
    76: ("reqAccountUpdatesMulti", 2, _multi),
    77: ("cancelAccountUpdatesMulti", 2, _cancel_account(76, 2)),
    78: ("reqSecDefOptParams", 1, _option_parameters),
    81: ("reqMatchingSymbols", 1, lambda f, v: r.MatchingSymbols(to_int(f[1]), f[2])),
    87: ("reqHeadTimestamp", 1, market.head_timestamp),
    88: ("reqHistogramData", 1, market.histogram),
    89: ("cancelHistogramData", 1, _number(r.CancelHistory, 1)),
    90: ("cancelHeadTimestamp", 1, _number(r.CancelHistory, 1)),
    91: ("reqMarketRule", 1, _number(r.MarketRule, 1)),
    92: ("reqPnL", 1, lambda f, v: r.ProfitAndLoss(to_int(f[1]), f[2])),
    93: ("cancelPnL", 1, _cancel_account(92, 1)),
    94: (
        "reqPnLSingle",
        1,
        lambda f, v: r.ProfitAndLossSingle(to_int(f[1]), f[2], to_int(f[4], 0)),
    ),
    95: ("cancelPnLSingle", 1, _cancel_account(94, 1)),
    96: ("reqHistoricalTicks", 1, market.historical_ticks),
    97: ("reqTickByTickData", 1, market.tick_by_tick),
    98: ("cancelTickByTickData", 1, _number(r.CancelTickByTick, 1)),
    99: ("reqCompletedOrders", 0, lambda f, v: r.CompletedOrders(-1, to_flag(f[1]))),
    105: ("reqCurrentTimeInMillis", 0, lambda f, v: r.CurrentTime(-1, True)),
    106: ("cancelContractData", 1, _number(r.CancelAnswered, 1)),
    107: ("cancelHistoricalTicks", 1, _number(r.CancelAnswered, 1)),
    **decode_reference.TABLE,
} | {
    kind: (name, at, _unsupported(name, at))
    for kind, name, at in (
        (52, "reqFundamentalData", 2),
        (53, "cancelFundamentalData", 2),
    )
}

_SINCE = {100: 161, 101: 161, 102: 161, 103: 161, 104: 167, 105: 197, 106: 215, 107: 215}
"""The version since which a message id is one."""

_DECODERS = {kind: row[2] for kind, row in _TABLE.items()}
_ID_AT = {kind: row[1] for kind, row in _TABLE.items()}

NAMES = {kind: row[0] for kind, row in _TABLE.items()}
"""The API's name of each message id."""
