"""News, scans, advisors' tables, display groups, and the small tables."""

from __future__ import annotations

from collections.abc import Iterable

from alluse_paper.market import Listing

from alluse_gateway.wire import escaped, message


def news_bulletin(number: int, kind: int, text: str, exchange: str) -> bytes:
    """Message 14. ``kind``: 1 a notice, 2 an exchange is unavailable, 3 it is available again."""
    return message(14, 1, number, kind, escaped(text), exchange)


def receive_fa(kind: int, xml: str) -> bytes:
    """Message 16."""
    return message(16, 1, kind, escaped(xml))


def replace_fa_end(request_id: int, text: str) -> bytes:
    """Message 103."""
    return message(103, request_id, text)


def scanner_parameters(xml: str) -> bytes:
    """Message 19."""
    return message(19, 1, xml)


def scanner_data(request_id: int, listings: Iterable[Listing]) -> bytes:
    """Message 20: a whole scan, best first."""
    rows = list(listings)
    values: list[object] = [20, 3, request_id, len(rows)]
    for rank, listing in enumerate(rows):
        each = listing.instrument
        values += [rank, listing.con_id, each.symbol, each.security_type.value]
        values += [f"{each.expiry:%Y%m%d}" if each.expiry else "", each.strike or 0]
        values += [each.right.value if each.right else "", each.exchange, each.currency]
        values += [listing.local_symbol, listing.trading_class, listing.trading_class]
        values += ["", "", "", ""]  # distance, benchmark, projection, legs
    return message(*values)


def display_groups(request_id: int, groups: Iterable[int]) -> bytes:
    """Message 67."""
    return message(67, 1, request_id, "|".join(str(each) for each in groups))


def display_group_updated(request_id: int, contract: str) -> bytes:
    """Message 68. ``contract`` is ``conId@exchange`` or ``none``."""
    return message(68, 1, request_id, escaped(contract))


def soft_dollar_tiers(request_id: int, tiers: Iterable[tuple[str, str, str]]) -> bytes:
    """Message 77: (name, value, display name) each."""
    rows = list(tiers)
    return message(77, request_id, len(rows), *[value for row in rows for value in row])


def family_codes(codes: Iterable[tuple[str, str]]) -> bytes:
    """Message 78: (account, family code) each."""
    rows = list(codes)
    return message(78, len(rows), *[value for row in rows for value in row])


def depth_exchanges(rows: Iterable[tuple[str, str, str, str, int]]) -> bytes:
    """Message 80: (exchange, security type, listing exchange, service, aggregated group) each."""
    table = list(rows)
    return message(80, len(table), *[value for row in table for value in row])


def smart_components(request_id: int, rows: Iterable[tuple[int, str, str]]) -> bytes:
    """Message 82: (bit, exchange, letter) each."""
    table = list(rows)
    return message(82, request_id, len(table), *[value for row in table for value in row])


def news_article(request_id: int, text: str) -> bytes:
    """Message 83: a plain text (0)."""
    return message(83, request_id, 0, escaped(text))


def news_providers(rows: Iterable[tuple[str, str]]) -> bytes:
    """Message 85: (code, name) each."""
    table = list(rows)
    return message(85, len(table), *[value for row in table for value in row])


def historical_news(
    request_id: int, time: str, provider: str, article: str, headline: str
) -> bytes:
    """Message 86: one headline."""
    return message(86, request_id, time, provider, article, escaped(headline))


def historical_news_end(request_id: int, more: bool) -> bytes:
    """Message 87. ``more``: the limit left some out."""
    return message(87, request_id, more)


def user_info(request_id: int, white_branding: str) -> bytes:
    """Message 107."""
    return message(107, request_id, white_branding)
