"""How an instrument is written, and the messages that describe one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs
from alluse_paper.market import Listing

from alluse_core.model import SecurityType
from alluse_gateway.wire import decimal_text, escaped, joined, message

ORDER_TYPES = "ACTIVETIM,DAY,FOK,GTC,GTD,IOC,LMT,MKT,OPG,STP,STPLMT,WHATIF,"
"""What the exchange behind this gateway takes, in TWS's words."""


@attrs.frozen
class ContractText:
    """The fields of one listing as text, joined once because every order and fill repeats them.

    ``traded`` is conId ... multiplier, exchange, currency, localSymbol, tradingClass; ``held``
    has the primary exchange in the exchange's place. ``traded_order`` writes "?" for the right of
    what is no option, as openOrder does.
    """

    listing: Listing
    traded: str
    traded_order: str
    held: str

    @classmethod
    def of(cls, listing: Listing) -> ContractText:
        """Write ``listing``."""
        instrument = listing.instrument
        expiry = instrument.expiry.strftime("%Y%m%d") if instrument.expiry else ""
        strike = decimal_text(instrument.strike) if instrument.strike is not None else "0"
        right = instrument.right.value if instrument.right else ""
        multiplier = "" if instrument.multiplier == 1 else decimal_text(instrument.multiplier)
        kind = instrument.security_type.value
        head = joined(str(listing.con_id), instrument.symbol, kind, expiry, strike)
        tail = joined(instrument.currency, listing.local_symbol, listing.trading_class)
        return cls(
            listing,
            head + joined(right, multiplier, instrument.exchange) + tail,
            head + joined(right or "?", multiplier, instrument.exchange) + tail,
            head + joined(right, multiplier, listing.primary_exchange) + tail,
        )


@attrs.frozen
class Calendar:
    """The trading hours of a listing as TWS writes them: ``20261123:0400-20261123:2000;...``."""

    zone: str
    trading: str
    liquid: str


def contract_details(
    version: int,
    request_id: int,
    listing: Listing,
    calendar: Calendar,
    rule: int,
    underlying: Listing | None = None,
) -> bytes:
    """Message 10. ``rule`` is the market rule that holds on every exchange named."""
    instrument = listing.instrument
    expiry = instrument.expiry.strftime("%Y%m%d") if instrument.expiry else ""
    exchanges = ",".join(dict.fromkeys((instrument.exchange, listing.primary_exchange)))
    old = version < 164
    under = underlying.instrument if underlying is not None else None
    values: list[object] = [10, *([8] if old else []), request_id]
    values += [
        instrument.symbol,
        instrument.security_type.value,
        expiry,
        *([expiry] if version >= 182 else []),  # lastTradeDate
        instrument.strike if instrument.strike is not None else 0,
        instrument.right.value if instrument.right else "",
        instrument.exchange,
        instrument.currency,
        listing.local_symbol,
        listing.trading_class,  # market name
        listing.trading_class,
        listing.con_id,
        listing.min_tick,
        *([100] if old else []),
        "" if instrument.multiplier == 1 else instrument.multiplier,
        ORDER_TYPES,
        exchanges,
        1,  # price magnifier
        underlying.con_id if underlying is not None else 0,
        escaped(listing.long_name),
        listing.primary_exchange,
        expiry[:6],
        "",
        "",
        "",
        calendar.zone,
        calendar.trading,
        calendar.liquid,
        "",
        0,
        0,  # security ids
        1,  # aggregated group
        under.symbol if under is not None else "",
        under.security_type.value if under is not None else "",
        ",".join([str(rule)] * len(exchanges.split(","))),
        expiry,
        "COMMON" if instrument.security_type is SecurityType.STOCK else "",
    ]
    if version == 163:
        values.append(listing.size_increment)
    elif version >= 164:
        values += [listing.min_size, listing.size_increment, listing.size_increment]
    if version >= 186:
        values.append(0)  # reasons why it may not be traded
    return message(*values)


def contract_details_end(request_id: int) -> bytes:
    """Message 52."""
    return message(52, 1, request_id)


def symbol_samples(
    version: int,
    request_id: int,
    listings: Iterable[Listing],
    derivatives: Mapping[str, Sequence[str]] | None = None,
) -> bytes:
    """Message 79. ``derivatives`` names the kinds of derivatives by symbol."""
    rows = list(listings)
    values: list[object] = [79, request_id, len(rows)]
    for listing in rows:
        instrument = listing.instrument
        values += [listing.con_id, instrument.symbol, instrument.security_type.value]
        kinds = (derivatives or {}).get(instrument.symbol, ())
        values += [listing.primary_exchange, instrument.currency, len(kinds), *kinds]
        if version >= 176:
            values += [escaped(listing.long_name), ""]
    return message(*values)


def market_rule(rule: int, increments: Iterable[tuple[object, object]]) -> bytes:
    """Message 93: rising (from price, tick) pairs."""
    rows = list(increments)
    return message(93, rule, len(rows), *[value for row in rows for value in row])


def option_parameters(
    request_id: int,
    exchange: str,
    underlying: int,
    trading_class: str,
    multiplier: str,
    expiries: list[str],
    strikes: list[str],
) -> bytes:
    """Message 75."""
    return message(
        75,
        request_id,
        exchange,
        underlying,
        trading_class,
        multiplier,
        len(expiries),
        *expiries,
        len(strikes),
        *strikes,
    )


def option_parameters_end(request_id: int) -> bytes:
    """Message 76."""
    return message(76, request_id)
