"""What the accounts hold, as the broker lists it: compared with what the fills say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal

import attrs

from alluse_core.clock import Clock
from alluse_core.model import Instrument, Position, Snapshot
from alluse_core.orders.adjustments import Adjustments, Cause
from alluse_core.orders.desk import Desk
from alluse_core.orders.fills import Fills
from alluse_core.orders.records import Kind
from alluse_core.ports import Broker

_log = logging.getLogger(__name__)
_TRIES = 3


@attrs.frozen
class Moment:
    """A moment by both clocks: seconds that only run on, and the time of day."""

    monotonic: float
    time: datetime

    @classmethod
    def of(cls, clock: Clock) -> Moment:
        """Return the present one."""
        return cls(clock.monotonic(), clock.now())


Carried = Mapping[tuple[str, str], Decimal]
"""What fills moved since the start, by (account, instrument's id)."""

Expected = Callable[[str, Carried], Mapping[tuple[str, str], Decimal]]
"""(broker, what fills moved since the start): the positions that the journal knows."""


class Holdings:
    """Asks one broker for positions and account values, and takes what it lists.

    A position is not closed because a list has no row for it: it is held, and named in ``absent``,
    until a row comes or none came for ``patience`` seconds. ``absent`` is when the first list
    without it was asked for (monotonic), by (account, instrument's id); ``as_of``: when the account
    values were told.

    Any other difference is taken at once, and kept as unexplained: fills that are told late may
    turn out to be a part of it.
    """

    def __init__(
        self,
        broker: Broker,
        desk: Desk,
        fills: Fills,
        adjustments: Adjustments,
        patience: float,
        mismatched: Callable[[str], None] = lambda _: None,
        expected: Expected = lambda _, __: {},
    ) -> None:
        self._broker = broker
        self._desk = desk
        self._fills = fills
        self._adjustments = adjustments
        self._patience = patience
        self._mismatched = mismatched
        self._expected = expected
        self._known = False
        self._told: Mapping[str, object] = {}
        self.absent: Mapping[tuple[str, str], float] = {}
        self.carried: Carried = {}
        self.as_of: datetime | None = None
        self._doubts = 0

    async def ask(self) -> bool:
        """Ask for both, and take them; return whether the positions were.

        Raises BrokerUnavailable or RequestFailed: then nothing is known.
        """
        taken = False
        for _ in range(_TRIES):
            newest, asked_at = self._fills.newest, Moment.of(self._desk.clock)
            snapshot = await self._broker.positions()
            # The list may hold a fill of which nobody has told yet; told later it would count
            # twice. So the executions are asked for once more, and both count only where neither
            # they nor the stream brought anything new meanwhile.
            executions = await self._broker.executions()
            for fill in executions.rows:
                self._fills.take(fill, "executions")
            if newest is self._fills.newest and executions.complete:
                taken = self._take(snapshot, asked_at)
                break
        values = await self._broker.account_values()
        for value in values.rows:
            self._desk.book.values[value.broker, value.account, value.name] = value
        self.as_of = values.as_of
        return taken

    @property
    def unsure(self) -> bool:
        """Whether the broker is to be asked again before new risk."""
        return bool(self.absent)

    @property
    def doubted(self) -> bool:
        """Whether a fill came since the last list that the list may have held already."""
        return self._desk.book.unexplained.doubts[self._broker.name] != self._doubts

    def _take(self, snapshot: Snapshot[Position], asked_at: Moment) -> bool:
        """Take a whole list; return False where it lacks rows and was not told often enough."""
        if not snapshot.complete:
            return False
        book, name = self._desk.book, self._broker.name
        told = {(row.broker, row.account, row.instrument): row for row in snapshot.rows}
        known = [place for place in book.positions if place[0] == name]
        if not self._known:
            self.carried = {(place[1], place[2].id): book.positions[place] for place in known}
        if self._lacks_rows(snapshot, asked_at.monotonic):
            return False
        self._doubts = book.unexplained.doubts[name]
        before = self._before()
        sentences = []
        for place in dict.fromkeys((*known, *told)):
            quantity = told[place].quantity if place in told else Decimal(0)
            ours = before.get((place[1], place[2].id), Decimal(0))
            if ours != quantity:
                by = quantity - ours
                book.unexplained.note((name, place[1], place[2].id), by, asked_at.time)
                if self._known:
                    sentences.append(self._mismatch(place, ours, quantity))
            book.positions[place] = quantity
            if place in told:
                book.costs[place] = told[place].average_cost
        self._known = True
        self._desk.meters.compared(name, len(sentences))
        book.told.add(name)
        self._remember(snapshot, differed=bool(sentences))
        if sentences:
            self._mismatched("; ".join(sentences))
        return True

    def _before(self) -> Mapping[tuple[str, str], Decimal]:
        """Return the positions as they were before this list: the journal's, at the first one."""
        if not self._known:
            return self._expected(self._broker.name, self.carried)
        return {
            (account, instrument.id): quantity
            for (broker, account, instrument), quantity in self._desk.book.positions.items()
            if broker == self._broker.name
        }

    def _lacks_rows(self, snapshot: Snapshot[Position], asked_at: float) -> bool:
        """Return whether positions are absent from a list that may yet be told of."""
        told = {(row.account, row.instrument.id) for row in snapshot.rows}
        held = [place for place, quantity in self._before().items() if quantity]
        absent = {place: self.absent.get(place, asked_at) for place in held if place not in told}
        recent = {place: at for place, at in absent.items() if asked_at - at < self._patience}
        if recent and not self.absent:
            names = ", ".join(name for _, name in sorted(recent))
            _log.warning("%s lists no position of %s: it is asked again", self._broker.name, names)
            self._desk.meters.count("position_rows_absent", broker=self._broker.name).value += 1
        self.absent = absent if recent else {}
        self._desk.book.absent[self._broker.name] = self.absent
        return bool(recent)

    def _remember(self, snapshot: Snapshot[Position], *, differed: bool) -> None:
        """Write the positions down where they changed: the next start compares with them.

        A list that ``differed`` from our fills outweighs them also where it is that told before:
        the next start would add those fills to it.
        """
        rows = sorted(
            [row.account, row.instrument.id, str(row.quantity)]
            for row in snapshot.rows
            if row.quantity
        )
        body = {"broker": self._broker.name, "positions": rows}
        if differed or body != self._told:
            self._told = body
            journal = self._desk.journal
            journal.append(journal.scribe.row(Kind.POSITION, body))

    def _mismatch(self, place: tuple[str, str, Instrument], ours: Decimal, theirs: Decimal) -> str:
        broker, account, instrument = place
        self._desk.meters.mismatches.value += 1
        sentence = f"position of {instrument.id}: our fills say {ours}, the broker {theirs}"
        _log.error("%s", sentence)
        facts = {"ours": str(ours), "theirs": str(theirs)}
        self._adjustments.record(
            broker, account, instrument, theirs - ours, Cause.UNEXPLAINED, facts
        )
        body = {
            "broker": broker,
            "account": account,
            "mismatch": instrument.id,
            **facts,
        }
        journal = self._desk.journal
        journal.append(journal.scribe.row(Kind.POSITION, body))
        return sentence
