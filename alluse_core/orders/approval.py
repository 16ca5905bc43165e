"""What differs at a start from what the journal says, and whether a person must approve it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

import attrs

from alluse_core.model import Execution, OrderReport, OrderState
from alluse_core.orders.book import Book
from alluse_core.orders.desk import Desk
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.reader import Entry, JournalReader
from alluse_core.orders.records import Kind, execution_from

_log = logging.getLogger(__name__)

_INTERRUPTED = "an earlier start ended before it could compare what it was told with the journal"

Place = tuple[str, str]
"""(account, instrument's id)"""


@attrs.frozen
class Difference:
    """One thing that a start found to be otherwise than the journal says.

    ``kind``: position, ended, filled, unknown, orphan, external or interrupted; ``what`` is the
    order's key or the instrument's id, of an external order the broker's permanent number, empty
    where it is about none of them. ``text`` of an external order tells all its terms.
    """

    broker: str
    kind: str
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.broker}: {self.text}"


@attrs.frozen
class Believed:
    """The positions that the journal knows: those last told, and fills learnt since.

    ``moment`` is when they were told. ``strays`` are the fills of others counted since then.
    """

    positions: Mapping[Place, Decimal]
    moment: datetime | None = None
    strays: frozenset[str] = frozenset()

    def with_fills(
        self, carried: Mapping[Place, Decimal], strays: Mapping[str, Execution]
    ) -> dict[Place, Decimal]:
        """Add what fills moved since the start.

        Fills of others are told again at every start; those that were counted do not count twice.
        """
        found = dict(self.positions)
        for place, change in carried.items():
            found[place] = found.get(place, Decimal(0)) + change
        for base, fill in strays.items():
            old = self.moment is not None and fill.time < self.moment
            if base in self.strays or old:
                place = (fill.account, fill.instrument.id)
                found[place] = found.get(place, Decimal(0)) - fill.change
        return {place: held for place, held in found.items() if held}


def believed(reader: JournalReader, broker: str, known: int) -> Believed:
    """Return the positions that the journal knows; before record ``known`` none were told."""
    told: dict[Place, Decimal] = {}
    since, moment = 0, None
    for entry in reader.newest(Kind.POSITION, known):
        if entry.body["broker"] == broker and "positions" in entry.body:
            rows = entry.body["positions"]
            told = {(account, name): Decimal(held) for account, name, held in rows}
            since, moment = entry.sequence, entry.time
            break
    newest: dict[str, Execution] = {}
    strays = set()
    for entry in reader.after(since, Kind.FILL):
        fill = execution_from(entry.ref, entry.body)
        if fill.broker != broker:
            continue
        if not entry.key:
            if moment is not None and fill.time < moment:
                continue
            strays.add(entry.body["base"])
        if not entry.body.get("listed", False):
            newest[entry.body["base"]] = fill
    for fill in newest.values():
        place = (fill.account, fill.instrument.id)
        told[place] = told.get(place, Decimal(0)) + fill.change
    return Believed(told, moment, frozenset(strays))


@attrs.frozen
class Before:
    """What the journal said of a broker at the start; orders: (state, executed) by key."""

    orders: Mapping[str, tuple[OrderState, Decimal]]
    positions: Believed

    @staticmethod
    def of(lives: Iterable[LiveOrder], positions: Believed) -> Before:
        """Note how these stand."""
        return Before({live.key: (live.state, live.executed) for live in lives}, positions)


def differences_of(
    broker: str,
    before: Before,
    believed_now: Mapping[Place, Decimal],
    book: Book,
    external: Iterable[OrderReport],
) -> tuple[Difference, ...]:
    """Return what the first evidence after a start says otherwise than the journal did."""
    found = []
    for key, (state, executed) in before.orders.items():
        live = book.get(key)
        if live is None:
            continue
        if live.executed != executed:
            text = f"order {key} filled {live.executed - executed} meanwhile"
            found.append(Difference(broker, "filled", key, text))
        elif live.state.is_terminal:
            text = f"order {key} was {state.value} and is {live.state.value} now"
            found.append(Difference(broker, "ended", key, text))
    for live in book.live(broker):
        if live.state is OrderState.UNKNOWN:
            text = f"order {live.key} is UNKNOWN"
            found.append(Difference(broker, "unknown", live.key, text))
        elif live.adopted and live.key not in before.orders:
            text = (
                f"order {live.ref} (client id {live.client_id}) bears our name and is not in the"
                " journal"
            )
            found.append(Difference(broker, "orphan", live.key, text))
    found += dict.fromkeys(external_order(broker, report) for report in external)
    told = {
        (account, instrument.id): held
        for (name, account, instrument), held in book.positions.items()
        if name == broker and held
    }
    for place in dict.fromkeys((*believed_now, *told)):
        ours, theirs = believed_now.get(place, Decimal(0)), told.get(place, Decimal(0))
        if ours != theirs:
            text = f"position of {place[1]} is {theirs} where the journal says {ours}"
            found.append(Difference(broker, "position", place[1], text))
    return tuple(found)


def external_order(broker: str, report: OrderReport) -> Difference:
    """Return the difference that an open order of others is.

    It is the same one at every start as long as the broker shows the same permanent number and
    terms. Where it shows either not, ``what`` is empty.
    """
    number, terms = report.identity.perm_id, report.terms
    if terms is None:
        return Difference(broker, "external", "", "an open order without terms is not this agent's")
    name = terms.instrument.id if terms.instrument is not None else "an instrument without a name"
    words = [terms.side.value, f"{terms.quantity.normalize():f}", name, terms.order_type]
    prices = (("limit", terms.limit_price), ("stop", terms.stop_price))
    words += [f"{what} {price.normalize():f}" for what, price in prices if price is not None]
    words += [terms.time_in_force, terms.account, "outside hours" * terms.outside_rth]
    said = " ".join(word for word in words if word)
    text = f"open order {number or 'without a number'} is not this agent's: {said}"
    return Difference(broker, "external", str(number) if number else "", text)


class Approval:
    """Holds new risk back while differences of the start wait for a person's name.

    An order of others that was approved once is not asked about again while its terms stay.

    What the first evidence tells is journaled as it comes, before the comparison is. So where a
    start needs approval, its beginning is journaled first: a start after one that did not come to
    its comparison cannot tell what that one learnt, and waits for a name.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._before: dict[str, Before] = {}
        self._needed = False
        self._opened_at = desk.journal.verification.head.sequence + 1
        self._told: dict[str, int] = {}
        self._begun: dict[str, int] = {}
        self.waiting: set[str] = set()
        self.differences: tuple[Difference, ...] = ()
        self._accepted: set[Difference] = set()

    def restore(self, entries: Iterable[Entry]) -> None:
        """Take over what an earlier process found and nobody has approved."""
        for entry in entries:
            if entry.kind == Kind.POSITION:
                self._told[entry.body["broker"]] = entry.sequence
            elif entry.kind == Kind.CONTROL and entry.body.get("action") == "differences":
                rows = entry.body["differences"]
                self.differences = tuple(Difference(*row) for row in rows)
                self._needed = entry.body["needed"]
            elif entry.kind == Kind.CONTROL and entry.body.get("action") == "approval begun":
                self._begun[entry.body["broker"]] = entry.body["since"] or entry.sequence
            elif entry.kind == Kind.CONTROL and entry.body.get("action") == "approval ended":
                self._begun.pop(entry.body["broker"], None)
            elif entry.kind == Kind.CONTROL and entry.body.get("action") == "approve":
                self.differences = ()
                rows = entry.body.get("accepted", ())
                self._accepted.update(Difference(*row) for row in rows)

    def begin(self, broker: str, reader: JournalReader, *, needed: bool) -> None:
        """Note how things stand before a broker is asked for the first time."""
        positions = believed(reader, broker, self._told.get(broker, self._opened_at))
        self._before[broker] = Before.of(self._desk.book.live(broker), positions)
        self._needed = self._needed or needed
        if not self._needed:
            self.differences = ()
        if not needed:
            return
        self.waiting.add(broker)
        since = self._begun.get(broker, 0)
        if since and _learnt_after(reader, broker, since):
            interrupted = Difference(broker, "interrupted", "", _INTERRUPTED)
            if interrupted not in self.differences:
                self.differences += (interrupted,)
                self._write_differences()
        self._write({"action": "approval begun", "broker": broker, "since": since})

    @property
    def open(self) -> tuple[Difference, ...]:
        """What waits for approval; empty where none is needed."""
        return self.differences if self._needed else ()

    def expected(self, broker: str, carried: Mapping[Place, Decimal]) -> Mapping[Place, Decimal]:
        """Return the positions that a broker's first evidence should tell of.

        ``carried`` is what fills moved since the start.
        """
        before = self._before.get(broker)
        if before is None:
            return {}
        return before.positions.with_fills(carried, self._desk.book.strays_of(broker))

    def learnt(
        self, broker: str, carried: Mapping[Place, Decimal], external: Iterable[OrderReport]
    ) -> None:
        """Compare, once, after the first complete evidence of a broker.

        ``carried`` is what fills moved since the start, ``external`` the open orders of others.
        """
        before = self._before.get(broker)
        if before is None:
            return
        begun = broker in self.waiting
        now = self.expected(broker, carried)
        del self._before[broker]
        self.waiting.discard(broker)
        all_found = differences_of(broker, before, now, self._desk.book, external)
        found = tuple(each for each in all_found if each not in self._accepted)
        for difference in found:
            _log.warning("at the start: %s", difference)
        known = {(each.broker, each.kind, each.what) for each in found}
        kept = [e for e in self.differences if (e.broker, e.kind, e.what) not in known]
        self.differences = (*kept, *found)
        if found:
            self._write_differences()
        if begun:
            self._write({"action": "approval ended", "broker": broker})

    def approve(self, by: str) -> tuple[Difference, ...]:
        """Take a person's word that what was found is right; return what was approved."""
        approved, self.differences = self.differences, ()
        accepted = [each for each in approved if each.kind == "external" and each.what]
        self._accepted.update(accepted)
        body = {
            "action": "approve",
            "by": by,
            "differences": [str(each) for each in approved],
            "accepted": [attrs.astuple(each) for each in accepted],
        }
        self._write(body)
        return approved

    def _write_differences(self) -> None:
        rows = [attrs.astuple(each) for each in self.differences]
        self._write({"action": "differences", "needed": self._needed, "differences": rows})

    def _write(self, body: Mapping[str, object]) -> None:
        journal = self._desk.journal
        journal.append(journal.scribe.row(Kind.CONTROL, body))


def _learnt_after(reader: JournalReader, broker: str, sequence: int) -> bool:
    """Return whether a broker told anything of orders or positions after a record."""
    return any(
        entry.body.get("broker") == broker
        for kind in (Kind.POSITION, Kind.FILL, Kind.EVENT)
        for entry in reader.after(sequence, kind)
    )
