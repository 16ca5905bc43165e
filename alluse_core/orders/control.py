"""Stopping: halt, flatten, resume. All journaled; protection stays until positions are closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal

import attrs

from alluse_core.errors import AllUseError, CommandRejected, UsageError
from alluse_core.model import Instrument, Order, OrderState, OrderType, Position, Side
from alluse_core.orders.book import Book
from alluse_core.orders.checks import Gate
from alluse_core.orders.commands import Commands
from alluse_core.orders.evidence import Desk
from alluse_core.orders.lanes import Outbox
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.pipeline import Pipeline
from alluse_core.orders.reader import Entry
from alluse_core.orders.records import Kind
from alluse_core.orders.ticket import wait_until
from alluse_core.ports import TradingState

_log = logging.getLogger(__name__)


@attrs.frozen
class Flattened:
    """What flatten did: keys of closing orders, and instruments whose position is not closed."""

    closing: tuple[str, ...]
    still_open: tuple[Instrument, ...]


def risk_increasing(book: Book, lives: Iterable[LiveOrder]) -> list[LiveOrder]:
    """Return those orders that could open, enlarge or flip a position.

    Of the orders on a position's closing side, stops before limits, as many are protective as
    the position is large; of orders that cancel each other one counts. A bracket's exits follow
    their entry and are left to it.
    """
    found: list[LiveOrder] = []
    used: dict[tuple[str, str, Instrument], Decimal] = {}
    groups: dict[tuple[str, str, Instrument], dict[str, Decimal]] = {}
    ordered = sorted(lives, key=lambda live: live.order.order_type not in _STOPS)
    for live in ordered:
        order = live.order
        if live.entry and (entry := book.get(live.entry)) and not entry.state.is_terminal:
            continue
        place = (order.broker, order.account, order.instrument)
        position = book.positions.get(place, Decimal(0))
        if position * order.side.sign >= 0:
            found.append(live)
            continue
        shared = groups.setdefault(place, {})
        already = shared.get(live.oca_group, Decimal(0)) if live.oca_group else Decimal(0)
        more = max(live.remaining - already, Decimal(0))
        if used.get(place, Decimal(0)) + more > abs(position):
            found.append(live)
            continue
        used[place] = used.get(place, Decimal(0)) + more
        if live.oca_group:
            shared[live.oca_group] = already + more
    return found


_STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})


class Control:
    """The trading state and what changes it."""

    def __init__(
        self,
        desk: Desk,
        gate: Gate,
        commands: Commands,
        pipeline: Pipeline,
        outboxes: Mapping[str, Outbox],
        patience: float,
    ) -> None:
        self._desk = desk
        self._gate = gate
        self._commands = commands
        self._pipeline = pipeline
        self._outboxes = outboxes
        self._patience = patience
        self._flattened = desk.journal.verification.head.sequence

    def restore(self, entries: Iterable[Entry]) -> None:
        """Take the state of the newest record: a restart does not lift a halt."""
        for entry in entries:
            if entry.kind == Kind.CONTROL and "state" in entry.body:
                self._gate.state = TradingState(entry.body["state"])
                self._gate.reason = entry.body.get("reason", "")

    def page(self, reason: str) -> None:
        """Allow only what reduces risk from now on, until somebody resumes."""
        self._desk.meters.count("pages").value += 1
        if self._gate.state is TradingState.ACTIVE:
            self._turn(TradingState.REDUCING, "page", reason)

    async def halt(self, reason: str) -> list[LiveOrder]:
        """Stop new risk; return the orders whose cancel was asked for."""
        self._turn(TradingState.HALTED, "halt", reason)
        return await self.cancel_risk("halt")

    async def cancel_risk(self, by: str) -> list[LiveOrder]:
        """Ask for a cancel of all working orders that increase risk; those of people stay."""
        chosen = risk_increasing(self._desk.book, self._desk.book.live())
        await asyncio.gather(*(self._cancel(live, by) for live in chosen))
        return chosen

    async def flatten(self) -> Flattened:
        """Close all positions with market orders, then cancel what protects them."""
        if self._gate.state is TradingState.ACTIVE:
            self._turn(TradingState.REDUCING, "flatten", "flatten was asked for")
        await self.cancel_risk("flatten")
        held = [row for row in self._desk.book.held() if row.broker in self._outboxes]
        made = await asyncio.gather(*(self._close(row) for row in held))
        closing = [live for live in made if live is not None]
        await asyncio.gather(*(self._await_end(live) for live in closing))
        open_still = tuple(row.instrument for row in held if self._position(row))
        for row in held:
            if not self._position(row):
                await self._unprotect(row)
        return Flattened(tuple(live.key for live in closing), open_still)

    def resume(self, by: str) -> None:
        """Allow new risk again, also after a damaged journal. Raises UsageError without a name."""
        if not by.strip():
            raise UsageError("resuming needs the name of who decides it", hint="resume(by='...')")
        journal = self._desk.journal
        if journal.problem:
            body = {"by": by, "problem": journal.problem}
            journal.append(journal.scribe.row(Kind.ACCEPTED, body))
            journal.problem = ""
        self._turn(TradingState.ACTIVE, "resume", "", by)

    def _turn(self, state: TradingState, action: str, reason: str, by: str = "") -> None:
        self._gate.state, self._gate.reason = state, reason
        if state is not TradingState.ACTIVE:
            _log.warning("trading is %s: %s", state.value, reason)
        journal = self._desk.journal
        body = {"action": action, "state": state.value, "reason": reason, "by": by}
        journal.append(journal.scribe.row(Kind.CONTROL, body))

    async def _cancel(self, live: LiveOrder, by: str) -> None:
        try:
            await self._commands.cancel(live, by)
        except CommandRejected:
            # It ended in the meantime, which is what was wanted.
            return

    async def _close(self, row: Position) -> LiveOrder | None:
        quantity = self._position(row)
        if not quantity:
            return None
        self._flattened += 1
        order = Order.market(
            row.instrument,
            Side.SELL if quantity > 0 else Side.BUY,
            abs(quantity),
            key=f"flatten/{self._flattened}/{row.instrument.symbol}/{self._desk.clock.now():%H%M%S}",
            broker=row.broker,
            account=row.account,
        )
        try:
            (live,) = await self._pipeline.submit(order, forced=True)
        except AllUseError as error:
            # One position that cannot be closed must not keep the others open.
            _log.error("%s of %s cannot be closed: %s", quantity, row.instrument, error)
            return None
        return live

    async def _await_end(self, live: LiveOrder) -> None:
        await wait_until(
            lambda: live.settled or live.state is OrderState.UNKNOWN,
            lambda: live.observers,
            self._desk.clock,
            self._patience,
        )

    async def _unprotect(self, row: Position) -> None:
        for live in self._desk.book.working((row.broker, row.account), row.instrument):
            await self._cancel(live, "flatten")

    def _position(self, row: Position) -> Decimal:
        return self._desk.book.position((row.broker, row.account), row.instrument)
