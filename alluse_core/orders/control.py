"""Stopping: halt, flatten, resume. All journaled; protection stays until positions are closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Hashable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import attrs

from alluse_core.errors import AllUseError, CommandRejected, UsageError
from alluse_core.model import Instrument, Order, OrderState, Position, Side, Verb
from alluse_core.orders.checks import Gate
from alluse_core.orders.closing import CLOSING, closers, makes_way, possibly_closed
from alluse_core.orders.commands import Commands
from alluse_core.orders.desk import Desk
from alluse_core.orders.increase import surplus
from alluse_core.orders.journal import Journal
from alluse_core.orders.lanes import Outbox
from alluse_core.orders.live import ZERO, LiveOrder
from alluse_core.orders.persons import one_line, refuse_no_name
from alluse_core.orders.pipeline import Pipeline
from alluse_core.orders.reader import Entry
from alluse_core.orders.records import Kind
from alluse_core.orders.ticket import wait_until
from alluse_core.ports import TradingState

_log = logging.getLogger(__name__)
_PAUSE_FIRST, _PAUSE_MOST = 1.0, 30.0


@attrs.frozen
class Flattened:
    """What flatten did: keys of closing orders, and instruments whose position is not closed."""

    closing: tuple[str, ...]
    still_open: tuple[Instrument, ...]


class Pauses:
    """When what did not work may be tried again: after 1 s, 2 s, 4 s, at most ``most`` seconds."""

    def __init__(self, most: float = _PAUSE_MOST) -> None:
        self._most = most
        self._next: dict[Hashable, tuple[float, float]] = {}

    def passes(self, what: Hashable, now: float) -> bool:
        """Return whether it may be tried at ``now``; if so, the next pause begins."""
        due, pause = self._next.get(what, (now, _PAUSE_FIRST))
        if now < due:
            return False
        self._next[what] = now + pause, min(2 * pause, self._most)
        return True

    def shorten(self, what: Hashable, now: float) -> None:
        """Let it wait no longer than 30 s from ``now``."""
        due, pause = self._next[what]
        self._next[what] = min(due, now + _PAUSE_MOST), min(pause, _PAUSE_MOST)

    def end(self, what: Hashable) -> None:
        """Let it be tried at once, and the pauses begin anew."""
        self._next.pop(what, None)

    def keep(self, known: Container[Hashable]) -> None:
        """Forget what is not among ``known``."""
        self._next = {what: due for what, due in self._next.items() if what in known}


class Control:
    """The trading state and what changes it.

    What a halt or flatten asks for is pursued until it is so, each second, also after a restart:
    the journal's newest records say what was asked for.
    """

    def __init__(
        self,
        desk: Desk,
        gate: Gate,
        commands: Commands,
        pipeline: Pipeline,
        outboxes: Mapping[str, Outbox],
        patience: float,
        *,
        shadow: bool = False,
    ) -> None:
        self._shadow = shadow
        self._desk = desk
        self._gate = gate
        self._commands = commands
        self._pipeline = pipeline
        self._outboxes = outboxes
        self._patience = patience
        self._paged = ""
        self._flattened = desk.journal.verification.head.sequence
        self._cancels = Pauses()
        self._fitted: dict[LiveOrder, Decimal] = {}
        self._asking: set[LiveOrder] = set()
        self._closings = Pauses()
        self.flattening = False

    def restore(self, entries: Iterable[Entry]) -> None:
        """Take the state of the newest records: a restart lifts no halt and ends no flatten."""
        for entry in entries:
            if entry.kind == Kind.CONTROL and "state" in entry.body:
                self._gate.state = TradingState(entry.body["state"])
                self._gate.reason = entry.body.get("reason", "")
                self.flattening = entry.body.get("flattening", False)

    def page(self, reason: str) -> None:
        """Allow only what reduces risk from now on, until somebody resumes."""
        self._desk.meters.count("pages").value += 1
        self.reduce(reason, "page")

    def reduce(self, reason: str, action: str = "reduce") -> None:
        """Allow only what reduces risk; working orders stay. A halt is not weakened by it."""
        reason = one_line(reason)
        if self._gate.state is TradingState.ACTIVE:
            self._turn(TradingState.REDUCING, action, reason)
        elif reason != self._paged:
            # The state has its own reason already; this one must not be lost over it.
            _log.warning("a person is wanted: %s", reason)
            journal = self._desk.journal
            journal.append(journal.scribe.row(Kind.CONTROL, {"action": action, "paged": reason}))
        self._paged = reason

    async def halt(self, reason: str) -> list[LiveOrder]:
        """Stop new risk; return the orders whose cancel was asked for."""
        self.stop(reason)
        return await self.cancel_risk("halt")

    def stop(self, reason: str) -> None:
        """Halt at once; what increases risk is cancelled within a second."""
        self._turn(TradingState.HALTED, "halt", one_line(reason))

    async def cancel_risk(self, by: str, others: Iterable[LiveOrder] = ()) -> list[LiveOrder]:
        """Ask for a cancel of all working orders that increase risk, and of ``others``.

        Protection that is larger than what is held is made smaller instead, where the broker takes
        that. Those of people stay, and those of brokers that the settings do not name any more. Of
        one whose last cancel came to nothing only where its pause is over.
        """
        lives, now = self._reachable(), self._desk.clock.monotonic()
        self._cancels.keep({live.key for live in lives})
        others = list(others)
        found = surplus(self._desk.book, lives, self._gate.reconciling)
        kept = {live: more for live, more in found.items() if more and live not in others}
        fitting = self._fitting(kept)
        chosen = [
            live
            for live in dict.fromkeys((*found, *others))
            if live not in fitting
            and live.pending is not Verb.CANCEL
            and self._cancels.passes(live.key, now)
        ]
        await asyncio.gather(
            *(self._cancel(live, by) for live in chosen),
            *(self._fit(live, quantity, by) for live, quantity in fitting.items() if quantity),
        )
        return chosen

    def _fitting(self, kept: Mapping[LiveOrder, Decimal]) -> dict[LiveOrder, Decimal]:
        """Return what stays as it is made smaller, and the quantity to ask for; 0: nothing now.

        Once for each quantity: an order that stays too large then is cancelled.
        """
        found: dict[LiveOrder, Decimal] = {}
        tried, self._fitted = self._fitted, {}
        for live, closes in kept.items():
            quantity = min(live.executed + closes, live.order.quantity)
            asked = tried.get(live) == quantity
            if asked:
                self._fitted[live] = quantity
            link = self._outboxes[live.order.broker].broker.link
            if live in self._asking or not link.works or (asked and live.pending is Verb.MODIFY):
                found[live] = ZERO
            elif not asked:
                found[live] = self._fitted[live] = quantity
                self._asking.add(live)
        return found

    async def _fit(self, live: LiveOrder, quantity: Decimal, by: str) -> None:
        try:
            await self._commands.modify(live, None, None, quantity, by)
        except AllUseError as error:
            _log.warning("order %s could not be made smaller: %s", live.key, error)
        finally:
            self._asking.discard(live)

    async def flatten(self) -> Flattened:
        """Close all positions with market orders, then cancel what protects them.

        Returns after ``patience`` seconds at the latest; what is not done then goes on. Raises
        UsageError in shadow mode.
        """
        self.begin_flatten()
        until = self._desk.clock.monotonic() + self._patience
        closing = await self._close_all()
        others = [live for live in self._closers() if live not in closing]
        if others:
            await asyncio.gather(*(self._await_end(live, until) for live in others))
            closing += await self._close_all()
        await asyncio.gather(*(self._await_end(live, until) for live in closing))
        await self.pursue()
        open_still = tuple(row.instrument for row in self._held())
        return Flattened(tuple(live.key for live in closing), open_still)

    def begin_flatten(self) -> None:
        """Ask for it and return; it begins within a second. Raises UsageError in shadow mode."""
        if self._shadow:
            raise UsageError(
                "nothing is sent in shadow mode, so no position can be closed",
                hint='set [orders] mode = "send", or close them at the broker',
            )
        self.flattening = True
        if self._gate.state is TradingState.ACTIVE:
            self._turn(TradingState.REDUCING, "flatten", "flatten was asked for")
        else:
            self._turn(self._gate.state, "flatten", self._gate.reason)

    async def pursue(self) -> None:
        """Do what is left of a halt or flatten; called each second."""
        if self.flattening and not self._shadow:
            await self._close_all()
            if not self._held() and self._all_told() and not self._reachable():
                self.flattening = False
                self._turn(self._gate.state, "flattened", self._gate.reason)
        elif self._gate.state is TradingState.HALTED:
            await self.cancel_risk("halt")

    def resume(self, by: str) -> None:
        """Allow new risk again, also after a damaged journal. Raises UsageError without a name."""
        refuse_no_name(by, "resuming")
        if self._desk.journal.problem:
            accept(self._desk.journal, by)
        self.flattening = False
        self._turn(TradingState.ACTIVE, "resume", "", by)

    def _turn(self, state: TradingState, action: str, reason: str, by: str = "") -> None:
        self._gate.state, self._gate.reason = state, reason
        if state is not TradingState.ACTIVE:
            _log.warning("trading is %s after %s: %s", state.value, action, reason)
        body = control_fields(state, action, reason, by, self.flattening)
        journal = self._desk.journal
        journal.append(journal.scribe.row(Kind.CONTROL, body))

    async def _cancel(self, live: LiveOrder, by: str) -> None:
        try:
            await self._commands.cancel(live, by)
        except CommandRejected:
            # It ended in the meantime, which is what was wanted.
            return

    # --- flatten --------------------------------------------------------------------------------

    async def _close_all(self) -> list[LiveOrder]:
        """Cancel what increases risk or is in the way; close what nothing else may close."""
        await self.cancel_risk("flatten", filter(makes_way, self._closers()))
        made = await asyncio.gather(*(self._close(row) for row in self._held()))
        return [live for live in made if live is not None]

    def _held(self) -> list[Position]:
        return [row for row in self._desk.book.held() if row.broker in self._outboxes]

    def _reachable(self) -> list[LiveOrder]:
        return [live for live in self._desk.book.live() if live.order.broker in self._outboxes]

    def _closers(self) -> list[LiveOrder]:
        rows = [row for row in self._held() if self._may_close(row.broker)]
        return [live for row in rows for live in closers(self._desk.book, row)]

    def _all_told(self) -> bool:
        return not self._gate.reconciling and set(self._outboxes) <= self._desk.book.told

    async def _close(self, row: Position) -> LiveOrder | None:
        quantity = self._unclosed(row)
        place = (row.broker, row.account, row.instrument)
        if not quantity or not self._may_close(row.broker):
            return None
        if not self._closings.passes(place, self._desk.clock.monotonic()):
            return None
        self._flattened += 1
        order = Order.market(
            row.instrument,
            Side.SELL if row.quantity > 0 else Side.BUY,
            quantity,
            key=f"{CLOSING}{self._flattened}/{row.instrument.symbol}"
            f"/{self._desk.clock.now():%H%M%S}",
            broker=row.broker,
            account=row.account,
        )
        try:
            (live,) = await self._pipeline.submit(order, forced=True)
        except AllUseError as error:
            # One position that cannot be closed must not keep the others open.
            what = (quantity, row.instrument, error, error.hint)
            _log.error("%s of %s cannot be closed: %s (%s)", *what)
            return None
        return live

    def _may_close(self, broker: str) -> bool:
        # By an old position two exits could flip it: the evidence is waited for, and tried again.
        works = self._outboxes[broker].broker.link.works
        return works and broker not in self._gate.reconciling

    def _unclosed(self, row: Position) -> Decimal:
        """Return how much is held beyond what other orders may close by themselves."""
        under_way = possibly_closed(closers(self._desk.book, row))
        return max(abs(row.quantity) - under_way, Decimal(0))

    async def _await_end(self, live: LiveOrder, until: float) -> None:
        await wait_until(
            lambda: live.settled or live.state is OrderState.UNKNOWN,
            live.watch,
            self._desk.clock,
            max(until - self._desk.clock.monotonic(), 0.0),
        )


def accept(journal: Journal, by: str) -> None:
    """Write down that a person takes a journal that is not whole for what it is."""
    body = {"by": by, "problem": journal.problem}
    journal.append(journal.scribe.row(Kind.ACCEPTED, body))
    journal.problem = ""


def control_fields(
    state: TradingState, action: str, reason: str, by: str, flattening: bool
) -> dict[str, Any]:
    """Return the record of a change of the trading state."""
    return {
        "action": action,
        "state": state.value,
        "reason": reason,
        "by": by,
        "flattening": flattening,
    }
