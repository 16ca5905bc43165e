"""Reads the requests of requests_reference.py."""

from __future__ import annotations

from collections.abc import Callable

from alluse_gateway import requests_reference as q
from alluse_gateway.requests import Request
from alluse_gateway.wire import to_decimal, to_flag, to_int

Decoder = Callable[[list[str], int], Request]


def _number(cls: type[Request], at: int) -> Decoder:
    return lambda fields, version: cls(to_int(fields[at]))


def _bare(cls: type[Request]) -> Decoder:
    return lambda fields, version: cls()


def _news_article(fields: list[str], version: int) -> Request:
    return q.NewsArticle(to_int(fields[1]), fields[2], fields[3])


def _historical_news(fields: list[str], version: int) -> Request:
    providers = tuple(each for each in fields[3].split("+") if each)
    number, con_id, limit = to_int(fields[1]), to_int(fields[2], 0), to_int(fields[6], 0)
    return q.HistoricalNews(number, con_id, providers, fields[4], fields[5], limit)


def _wsh_events(fields: list[str], version: int) -> Request:
    length = 3 + 4 * (version >= 171) + 3 * (version >= 173)
    for at in (2, *range(4, min(length, 7))):
        to_int(fields[at], 0)
    if version >= 173:
        to_int(fields[9], 0)
    return q.WallStreetHorizon(to_int(fields[1]))


def _scan(fields: list[str], version: int) -> Request:
    return q.ScannerSubscription(
        to_int(fields[1]),
        to_int(fields[2], -1),
        fields[3],
        fields[4],
        fields[5],
        to_decimal(fields[6]),
        to_decimal(fields[7]),
        to_int(fields[8], 0),
    )


def _verify(name: str) -> Decoder:
    return lambda fields, version: q.Verify(-1, name)


TABLE: dict[int, tuple[str, int, Decoder]] = {
    # id: (name, where its request id is, decoder)
    12: ("reqNewsBulletins", 0, lambda f, v: q.NewsBulletins(-1, to_flag(f[2]))),
    13: ("cancelNewsBulletins", 0, _bare(q.CancelNewsBulletins)),
    18: ("requestFA", 0, lambda f, v: q.RequestFA(-1, to_int(f[2]))),
    19: ("replaceFA", 4, lambda f, v: q.ReplaceFA(to_int(f[4]), to_int(f[2]), f[3])),
    22: ("reqScannerSubscription", 1, _scan),
    23: ("cancelScannerSubscription", 2, _number(q.CancelScanner, 2)),
    24: ("reqScannerParameters", 0, _bare(q.ScannerParameters)),
    65: ("verifyRequest", 0, _verify("verifyRequest")),
    66: ("verifyMessage", 0, _verify("verifyMessage")),
    67: ("queryDisplayGroups", 2, _number(q.DisplayGroups, 2)),
    68: ("subscribeToGroupEvents", 2, lambda f, v: q.SubscribeGroup(to_int(f[2]), to_int(f[3]))),
    69: ("updateDisplayGroup", 2, lambda f, v: q.UpdateGroup(to_int(f[2]), f[3])),
    70: ("unsubscribeFromGroupEvents", 2, _number(q.UnsubscribeGroup, 2)),
    72: ("verifyAndAuthRequest", 0, _verify("verifyAndAuthRequest")),
    73: ("verifyAndAuthMessage", 0, _verify("verifyAndAuthMessage")),
    79: ("reqSoftDollarTiers", 1, _number(q.SoftDollarTiers, 1)),
    80: ("reqFamilyCodes", 0, _bare(q.FamilyCodes)),
    82: ("reqMktDepthExchanges", 0, _bare(q.DepthExchanges)),
    83: ("reqSmartComponents", 1, lambda f, v: q.SmartComponents(to_int(f[1]), f[2])),
    84: ("reqNewsArticle", 1, _news_article),
    85: ("reqNewsProviders", 0, _bare(q.NewsProviders)),
    86: ("reqHistoricalNews", 1, _historical_news),
    100: ("reqWshMetaData", 1, _number(q.WallStreetHorizon, 1)),
    101: ("cancelWshMetaData", 1, lambda f, v: q.WallStreetHorizon(to_int(f[1]), True)),
    102: ("reqWshEventData", 1, _wsh_events),
    103: ("cancelWshEventData", 1, lambda f, v: q.WallStreetHorizon(to_int(f[1]), True)),
    104: ("reqUserInfo", 1, _number(q.UserInfo, 1)),
}
