"""Requests for what is neither an order nor market data: news, scans, advisors, groups, tables."""

from __future__ import annotations

from decimal import Decimal

import attrs

from alluse_gateway.requests import Request


@attrs.frozen
class RequestFA(Request):
    """An advisor's table: 1 groups, 2 profiles, 3 aliases."""

    kind: int = 0


@attrs.frozen
class ReplaceFA(Request):
    kind: int = 0
    xml: str = ""


@attrs.frozen
class SoftDollarTiers(Request):
    pass


@attrs.frozen
class FamilyCodes(Request):
    pass


@attrs.frozen
class DepthExchanges(Request):
    pass


@attrs.frozen
class SmartComponents(Request):
    """``exchange`` is the code of an exchange map, as tickReqParams gave it."""

    exchange: str = ""


@attrs.frozen
class UserInfo(Request):
    pass


@attrs.frozen
class NewsBulletins(Request):
    """``everything``: those of this day so far, too."""

    everything: bool = False


@attrs.frozen
class CancelNewsBulletins(Request):
    pass


@attrs.frozen
class NewsProviders(Request):
    pass


@attrs.frozen
class NewsArticle(Request):
    provider: str = ""
    article: str = ""


@attrs.frozen
class HistoricalNews(Request):
    """``providers`` are joined by "+"; ``start`` and ``end`` as the client wrote them, or empty."""

    con_id: int = 0
    providers: tuple[str, ...] = ()
    start: str = ""
    end: str = ""
    limit: int = 0


@attrs.frozen
class WallStreetHorizon(Request):
    """Asks for, or cancels, corporate events: TWS's WSH data."""

    cancel: bool = False


@attrs.frozen
class ScannerParameters(Request):
    pass


@attrs.frozen
class ScannerSubscription(Request):
    """A scan: the first ``rows`` instruments by ``code``, within the bounds that are given."""

    rows: int = -1
    instrument: str = ""
    location: str = ""
    code: str = ""
    above_price: Decimal | None = None
    below_price: Decimal | None = None
    above_volume: int = 0


@attrs.frozen
class CancelScanner(Request):
    pass


@attrs.frozen
class DisplayGroups(Request):
    pass


@attrs.frozen
class SubscribeGroup(Request):
    group: int = 0


@attrs.frozen
class UpdateGroup(Request):
    """``contract``: ``conId@exchange``, ``none`` or ``combo``."""

    contract: str = ""


@attrs.frozen
class UnsubscribeGroup(Request):
    pass


@attrs.frozen
class Verify(Request):
    """One of the four requests by which a program signs in as itself; ``name`` is the API's."""

    name: str = ""
