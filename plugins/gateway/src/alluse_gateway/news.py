"""News of a simulated market: one provider, whose headlines follow from instrument and day."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

import attrs
from alluse_paper.market import Listing

from alluse_core.clock import Clock
from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway import requests_reference as q
from alluse_gateway.answers import reference as answers
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.session import Session

PROVIDER = "SIM"
PROVIDER_NAME = "Simulated News"
MOST_HEADLINES = 300
OLDEST = timedelta(days=366)
"""How far back headlines are made, however early the range that is asked for begins."""

BULLETINS_KEPT = 100
_EVENTS = (
    "reports results for the quarter",
    "sets the date of its annual meeting",
    "names a new head of operations",
    "opens a plant",
    "is covered anew by an analyst",
    "answers a question of its regulator",
)


@attrs.frozen
class Headline:
    """One item. ``article`` names it; ``time`` is aware, UTC."""

    time: datetime
    article: str
    text: str


class NewsDesk:
    """Answers requests for news, and sends bulletins to who wants them."""

    def __init__(
        self, clock: Clock, contracts: ContractDesk, sessions: Callable[[], Iterable[Session]]
    ) -> None:
        self._clock = clock
        self._contracts = contracts
        self._sessions = sessions
        self._bulletins: deque[tuple[date, bytes]] = deque(maxlen=BULLETINS_KEPT)
        self._count = 0
        self._readers: set[Session] = set()

    # --- bulletins --------------------------------------------------------------------------

    def subscribe(self, session: Session, request: q.NewsBulletins) -> None:
        """Answer reqNewsBulletins: those of this day first where all are wanted."""
        self._readers.add(session)
        if request.everything:
            today = self._clock.now().date()
            for day, told in self._bulletins:
                if day == today:
                    session.send(told)

    def unsubscribe(self, session: Session, request: q.CancelNewsBulletins) -> None:
        """End reqNewsBulletins."""
        self.forget(session)

    def forget(self, session: Session) -> None:
        """A client is gone."""
        self._readers.discard(session)

    def bulletin(self, text: str, exchange: str = "", kind: int = 1) -> int:
        """Send a bulletin to every client that reads them; return how many those are."""
        self._count += 1
        told = answers.news_bulletin(self._count, kind, text, exchange)
        self._bulletins.append((self._clock.now().date(), told))
        readers = [each for each in self._sessions() if each in self._readers]
        for session in readers:
            session.send(told)
        return len(readers)

    # --- headlines --------------------------------------------------------------------------

    def providers(self, session: Session, request: q.NewsProviders) -> None:
        """Answer reqNewsProviders."""
        session.send(answers.news_providers([(PROVIDER, PROVIDER_NAME)]))

    def headlines(self, session: Session, request: q.HistoricalNews) -> None:
        """Answer reqHistoricalNews: the newest first, up to the limit, then the end."""
        number = request.request_id
        listing = self._contracts.one(r.Contract(con_id=request.con_id))
        now = self._clock.now()
        start, end = _moment(request.start, now - OLDEST), _moment(request.end, now)
        if not request.con_id or isinstance(listing, str):
            session.error(number, notices.NO_DEFINITION, notices.NO_DEFINITION_TEXT)
            return
        if start is None or end is None or PROVIDER not in request.providers:
            cause = "no such provider" if start and end else "Invalid date/time format"
            session.error(number, notices.VALIDATION, notices.validation("news", cause))
            return
        limit = max(1, min(request.limit or MOST_HEADLINES, MOST_HEADLINES))
        news = between(listing, max(start, now - OLDEST), min(end, now))
        for each in islice(news, limit):
            when = f"{each.time:%Y-%m-%d %H:%M:%S}.0"
            session.send(answers.historical_news(number, when, PROVIDER, each.article, each.text))
        session.send(answers.historical_news_end(number, next(news, None) is not None))

    def article(self, session: Session, request: q.NewsArticle) -> None:
        """Answer reqNewsArticle, or 10172 where there is none of that name."""
        headline = self._named(request) if request.provider == PROVIDER else None
        if headline is None:
            text = "Failed to request news article:No data available"
            session.error(request.request_id, notices.NO_ARTICLE, text)
            return
        body = (
            f"{headline.text}.\nThis is a simulated article of {headline.time:%Y-%m-%d %H:%M} UTC."
        )
        session.send(answers.news_article(request.request_id, body))

    def _named(self, request: q.NewsArticle) -> Headline | None:
        con_id, _, rest = request.article.removeprefix(f"{PROVIDER}$").partition("-")
        day = rest.partition("-")[0]
        if not (con_id.isdecimal() and len(con_id) < 12 and day.isdecimal() and len(day) == 8):
            return None
        listing = self._contracts.one(r.Contract(con_id=int(con_id)))
        try:
            written = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).date()
        except ValueError:
            return None
        if isinstance(listing, str):
            return None
        named = (each for each in of_day(listing, written) if each.article == request.article)
        return next(named, None)


def of_day(listing: Listing, day: date) -> list[Headline]:
    """Return what was written of ``listing`` on ``day``, newest first: none to two items."""
    rng = random.Random(f"{listing.con_id}/{day:%Y%m%d}")
    moments = sorted(rng.randrange(86_400) for _ in range(rng.choice((0, 0, 1, 1, 2))))
    found = []
    for number, second in enumerate(moments):
        when = datetime.combine(day, time(), UTC) + timedelta(seconds=second)
        article = f"{PROVIDER}${listing.con_id}-{day:%Y%m%d}-{number}"
        found.append(Headline(when, article, f"{listing.long_name} {rng.choice(_EVENTS)}"))
    return found[::-1]


def between(listing: Listing, start: datetime, end: datetime) -> Iterator[Headline]:
    """Yield the headlines after ``start`` and up to ``end``, newest first."""
    day = end.date()
    while day >= start.date():
        for each in of_day(listing, day):
            if start < each.time <= end:
                yield each
        day -= timedelta(days=1)


def _moment(text: str, default: datetime) -> datetime | None:
    """Read ``yyyy-mm-dd hh:mm:ss.0``, UTC; ``default`` where nothing is given."""
    if not text:
        return default
    try:
        return datetime.strptime(text.partition(".")[0], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
