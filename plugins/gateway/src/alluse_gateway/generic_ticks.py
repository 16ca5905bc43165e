"""Generic ticks: which may be asked for, and what each sends of what the simulation knows.

What a simulated market cannot know (open interest, fundamental ratios, auctions, dividends to
come) is accepted and never sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
from alluse_paper.exchange import Exchange
from alluse_paper.market import Listing, TopOfBook, is_price

from alluse_core.model import SecurityType
from alluse_gateway.answers import ticks
from alluse_gateway.bars import BarHistory
from alluse_gateway.history_source import HistorySource
from alluse_gateway.history_terms import DAY, WEEK
from alluse_gateway.session import Session

LEGAL = {
    100: "Option Volume",
    101: "Option Open Interest",
    104: "Historical Volatility",
    105: "Average Opt Volume",
    106: "impvolat",
    165: "Misc. Stats",
    220: "Creditman Mark Price",
    221: "Creditman Mark Price",
    225: "Auction",
    232: "Pl Price",
    233: "RTVolume",
    236: "inventory",
    258: "Fundamentals",
    292: "Wide_news",
    293: "TradeCount",
    294: "TradeRate",
    295: "VolumeRate",
    318: "LastRTHTrade",
    375: "RTTrdVolume",
    411: "rthistvol",
    456: "IBDividends",
    460: "Bond Factor Multiplier",
    577: "EtfNavLast(navlast)",
    586: "IPOHLMPRC",
    587: "Pl Price Delayed",
    588: "Futures Open Interest",
    595: "Short-Term Volume X Mins",
    614: "EtfNavMisc(high/low)",
    619: "Creditman Slow Mark Price",
    623: "EtfFrozenNavLast(fznavlast)",
}
"""By number; 104 is in IBKR's documents, though a TWS of today no longer names it."""

SHARES_TO_BORROW = 10_000_000
"""What the simulated broker lends of any stock unless told otherwise."""

_EASY, _HARD, _NONE = 3.0, 2.0, 1.0
"""Values of tick 46: above 2.5 at least 1,000 shares, above 1.5 on demand, below not."""


def wanted(text: str) -> frozenset[int] | str:
    """Read a generic tick list, whose unknown words TWS refuses; return the error's cause."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    # A word may carry an argument (292:BZ) or ask for no default ticks (mdoff).
    numbers = [word.split(":")[0] for word in words if word != "mdoff"]
    if all(word.isdecimal() and int(word) in LEGAL for word in numbers):
        return frozenset(int(word) for word in numbers)
    legal = ",".join(f"{number}({name})" for number, name in LEGAL.items())
    return f"Incorrect generic tick list of {text}.  Legal ones are: {legal}"


@attrs.define
class Figures:
    """Where the figures of all instruments come from."""

    exchange: Exchange
    source: HistorySource
    played: BarHistory
    lent: Callable[[Listing], float]

    def option_volume(self, symbol: str, right: str) -> float:
        """Return what has traded today of the listed options on a symbol."""
        total = 0.0
        for each in self.exchange.find(symbol, SecurityType.OPTION):
            top = self.exchange.top(each.instrument)
            if each.instrument.right == right and top is not None and top.volume == top.volume:
                total += top.volume
        return total

    def ranges(self, listing: Listing) -> list[tuple[int, float]]:
        """Return (tick type, value): lows and highs of 13, 26 and 52 weeks, the mean volume."""
        now = self.source.present
        days = self.source.bars(listing, "TRADES", now - 52 * WEEK, now + 1, DAY, rth=True)
        found: list[tuple[int, float]] = []
        for (low, high), weeks in (((15, 16), 13), ((17, 18), 26), ((19, 20), 52)):
            span = [bar for bar in days if bar.start >= now - weeks * WEEK]
            # A market that has not lasted as long has no such figure.
            if span and days[0].start <= now - (weeks - 1) * WEEK:
                found.append((low, min(bar.low for bar in span)))
                found.append((high, max(bar.high for bar in span)))
        recent = days[-91:-1]
        if len(recent) == 90:
            found.append((21, sum(bar.volume for bar in recent) / 90))
        return found

    def volatility(self, listing: Listing) -> float:
        """Return a year's volatility of the last thirty days, NaN where they are not known."""
        now = self.source.present
        found = self.source.volatility(listing, now - 30 * DAY, now + 1)
        return found[-1].close if found else math.nan


class GenericTicks:
    """The generic ticks of one line. Values are sent once and then when they change."""

    def __init__(
        self,
        session: Session,
        writer: ticks.TickWriter,
        listing: Listing,
        asked: frozenset[int],
        figures: Figures,
    ) -> None:
        self._session = session
        self._writer = writer
        self._listing = listing
        self._asked = asked
        self._figures = figures
        self._sent: dict[int, object] = {}
        self._traded = (math.nan, math.nan)
        self._stock = listing.instrument.security_type is SecurityType.STOCK

    def begin(self) -> None:
        """Send what does not move with the market."""
        if 165 in self._asked and self._stock:
            for kind, value in self._figures.ranges(self._listing):
                if kind == 21:
                    self._size(kind, value)
                else:
                    self._price(kind, value)
        if self._asked & {104, 411} and self._stock:
            value = self._figures.volatility(self._listing)
            for asked, kind in ((104, 23), (411, 58)):
                if asked in self._asked:
                    self._generic(kind, value)
        self.lend()

    def lend(self) -> None:
        """Send what can be borrowed, where it has changed."""
        if 236 in self._asked and self._stock:
            shares = self._figures.lent(self._listing)
            level = _EASY if shares >= 1000 else _HARD if shares > 0 else _NONE
            self._generic(46, level)
            self._size(89, shares)

    def send(self, top: TopOfBook) -> None:
        """Send what a move of the market has changed."""
        asked = self._asked
        if asked & {220, 221, 232}:
            self._price(37, top.mark)
        if 100 in asked and self._stock:
            for kind, right in ((29, "C"), (30, "P")):
                self._size(
                    kind, self._figures.option_volume(self._listing.instrument.symbol, right)
                )
        if asked & {233, 293, 294, 295, 318, 375}:
            self._trades(top)

    def _trades(self, top: TopOfBook) -> None:
        today = self._figures.played.today.get(self._listing.instrument)
        if today is None or not is_price(top.last) or (top.last, top.volume) == self._traded:
            return
        self._traded = (top.last, top.volume)
        asked = self._asked
        if 293 in asked:
            self._generic(54, float(today.count))
        if asked & {294, 295}:
            now = top.time
            last = self._figures.source.bars(
                self._listing, "TRADES", now - 60, now + 1, 5, rth=False
            )
            if 294 in asked:
                self._generic(55, float(sum(bar.count for bar in last)))
            if 295 in asked:
                self._generic(56, sum(bar.volume for bar in last))
        if 318 in asked:
            self._price(57, top.last)
        if asked & {233, 375} and today.volume > 0:
            size = top.last_size if top.last_size == top.last_size else 0.0
            average = round(today.money / today.volume, 8)
            words = (top.last, f"{size:.0f}", int(top.time * 1000), f"{today.volume:.0f}", average)
            text = ";".join([*(str(word) for word in words), "true"])
            for number, kind in ((233, 48), (375, 77)):
                if number in asked:
                    self._session.send(self._writer.text(kind, text))

    def _price(self, kind: int, value: float) -> None:
        if self._changed(kind, value):
            self._session.send(self._writer.price(kind, value, 0.0))

    def _size(self, kind: int, value: float) -> None:
        if self._changed(kind, value):
            self._session.send(self._writer.size(kind, value))

    def _generic(self, kind: int, value: float) -> None:
        if self._changed(kind, value):
            self._session.send(self._writer.generic(kind, value))

    def _changed(self, kind: int, value: float) -> bool:
        if value != value or self._sent.get(kind) == value:
            return False
        self._sent[kind] = value
        return True
