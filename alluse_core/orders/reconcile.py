"""After a start or a lost link: ask the broker for everything, and believe only what it says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import attrs

from alluse_core.errors import BrokerError
from alluse_core.model import (
    Execution,
    OrderReport,
    OrderState,
    Snapshot,
    TimeInForce,
    Verb,
)
from alluse_core.orders.applier import Applier
from alluse_core.orders.checks import Gate
from alluse_core.orders.desk import Desk
from alluse_core.orders.fills import Fills
from alluse_core.orders.holdings import Carried, Holdings
from alluse_core.orders.live import Command, LiveOrder, differences
from alluse_core.orders.namesakes import Namesakes
from alluse_core.orders.reports import OPEN_ORDERS, Reports
from alluse_core.orders.states import CommandEvent, CommandState, Event
from alluse_core.orders.view import DefinitionLookup
from alluse_core.ports import Broker
from alluse_core.settings import OrdersSettings

_log = logging.getLogger(__name__)
_RETRY_FIRST, _RETRY_MOST = 1.0, 30.0
_ASKED_MEANWHILE = 4


Learnt = Callable[[str, Carried, Sequence[OrderReport]], None]
"""(broker, what fills moved since the start, the open orders of others)."""


@attrs.frozen
class Answers:
    """What the broker said, asked for at monotonic ``asked_at``."""

    asked_at: float
    open_orders: Snapshot[OrderReport]
    completed: Snapshot[OrderReport]
    executions: Snapshot[Execution]

    @property
    def complete(self) -> bool:
        """Whether every list came with its end mark."""
        return self.open_orders.complete and self.completed.complete and self.executions.complete


@attrs.frozen
class Reconciliation:
    """What one round found. ``unknown`` are keys that no evidence settled."""

    broker: str
    complete: bool
    external: int
    unknown: tuple[str, ...]
    expired: tuple[str, ...]


class Reconciler:
    """Asks one broker, and settles its orders by the answers.

    A query that fails makes the round fail; it is repeated with growing pauses, and is never an
    empty answer. What no list mentions was not proven unsent: it becomes UNKNOWN. Nor is a position
    closed because a list has no row for it: while the holdings are unsure the gate is shut and the
    broker is asked again.
    """

    def __init__(
        self,
        broker: Broker,
        desk: Desk,
        applier: Applier,
        reports: Reports,
        fills: Fills,
        holdings: Holdings,
        gate: Gate,
        settings: OrdersSettings,
        definitions: DefinitionLookup,
        learnt: Learnt = lambda _, __, ___: None,
    ) -> None:
        self._learnt = learnt
        self._broker = broker
        self._desk = desk
        self._applier = applier
        self._reports = reports
        self._fills = fills
        self._holdings = holdings
        self._gate = gate
        self._settings = settings
        self._definitions = definitions
        self._unsure = False
        self._wanted = asyncio.Event()
        self._lock = asyncio.Lock()
        self._namesakes = Namesakes(broker, desk.references.claims, desk.page)
        self._others: Sequence[OrderReport] = ()

    @property
    def as_of(self) -> datetime | None:
        """When the account values were told; None before the first time."""
        return self._holdings.as_of

    @property
    def external(self) -> int:
        """How many open orders of others the broker listed last."""
        return len(self._others)

    def want(self) -> None:
        """Ask soon; several wishes become one round."""
        self._wanted.set()

    async def run(self) -> None:
        """Serve wishes until something raises that is not a broker's failure to answer."""
        pause = _RETRY_FIRST
        while True:
            await self._wanted.wait()
            if self._unsure:
                await self._desk.clock.sleep(self._settings.acknowledge_within / _ASKED_MEANWHILE)
            self._wanted.clear()
            try:
                await self.round()
                pause = _RETRY_FIRST
            except BrokerError as error:
                self._desk.meters.count("reconcile_failures", broker=self._broker.name).value += 1
                _log.warning("evidence of %s could not be had: %s", self._broker.name, error)
                await self._desk.clock.sleep(pause)
                self._desk.meters.retries("reconciliation").value += 1
                self._desk.retries[self._broker.name].repeated(self._desk.clock.monotonic())
                pause = min(2 * pause, _RETRY_MOST)
                self._wanted.set()
            except BaseException:
                # The wish outlives this task: whoever runs it again serves it.
                self._wanted.set()
                raise

    async def round(self) -> Reconciliation:
        """Ask and apply once. Raises BrokerUnavailable or RequestFailed: then nothing is proven."""
        async with self._lock:
            changes = self._gate.link_changes[self._broker.name]
            answers = await self._ask()
            listed = self._apply(answers)
            open_questions = self._unproven(answers, listed)
            if open_questions and answers.complete:
                # Evidence may still be on its way: absence counts only after a settling time.
                await self._desk.clock.sleep(self._settings.settle_seconds)
                answers = await self._ask()
                listed = self._apply(answers)
                open_questions &= self._unproven(answers, listed)
            unknown, expired = self._conclude(open_questions, answers)
            self._answer_commands(answers, listed)
            whole = await self._holdings.ask() and answers.complete
            if whole:
                self._learnt(self._broker.name, self._holdings.carried, self._others)
            self._open_or_ask_again(whole=whole, changes=changes)
            self._desk.meters.count("reconciliations", broker=self._broker.name).value += 1
            return Reconciliation(
                self._broker.name, answers.complete, self.external, unknown, expired
            )

    def _open_or_ask_again(self, *, whole: bool, changes: int) -> None:
        """Open the gate after a round that learnt everything over one link.

        What was asked before an outage says nothing of what happened in it, nor does a list of
        positions of a fill that came after it in the same round and that it may hold. ``changes``
        is how often the link had changed when the round began.
        """
        name, shut = self._broker.name, self._gate.reconciling
        self._unsure = self._holdings.unsure or not whole
        if self._holdings.unsure:
            shut.add(name)
            self.want()
        elif self._broker.link.works:
            same_link = changes == self._gate.link_changes[name]
            if whole and same_link and not self._holdings.doubted:
                shut.discard(name)
            elif name in shut:
                self.want()

    async def _ask(self) -> Answers:
        asked_at = self._desk.clock.monotonic()
        broker = self._broker
        open_orders = await broker.open_orders()
        completed = await broker.completed_orders()
        executions = await broker.executions()
        return Answers(asked_at, open_orders, completed, executions)

    def _apply(self, answers: Answers) -> dict[str, OrderReport]:
        """Apply all rows; return the open orders of ours, by key."""
        strange = []
        for fill in answers.executions.rows:
            live = self._fills.take(fill, "executions")
            if live is None or live.adopted:
                strange.append(fill.identity)
        for report in answers.completed.rows:
            self._reports.take(report, "completed orders", answers.asked_at)
        listed, others, ours = {}, [], []
        for report in answers.open_orders.rows:
            live = self._reports.take(report, OPEN_ORDERS, answers.asked_at)
            if live is None:
                others.append(report)
            else:
                listed[live.key] = report
                ours.append(live)
        self._others = others
        if answers.open_orders.complete and answers.executions.complete:
            strange += (name for live in ours if live.adopted for name in live.identities())
            self._namesakes.look(strange)
        return listed

    def _unproven(self, answers: Answers, listed: Mapping[str, OrderReport]) -> set[str]:
        return {
            live.key
            for live in self._desk.book.live(self._broker.name)
            if live.key not in listed
            and not live.unsent
            and live.durable
            and live.state is not OrderState.UNKNOWN
            and not live.sent_at >= answers.asked_at
            and not live.evidence_at >= answers.asked_at
        }

    def _conclude(
        self, keys: set[str], answers: Answers
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        unknown, expired = [], []
        if answers.complete:
            lost = [live for live in self._desk.book.live(self._broker.name) if live.key in keys]
            for live in sorted(lost, key=lambda live: live.key):
                if live.executed >= live.order.quantity:
                    # It is not open any more: a larger quantity that was counted does not hold.
                    self._applier.happen(live, Event.FILL, "executions")
                elif self._has_expired(live):
                    self._applier.happen(live, Event.EXPIRE, "trading hours", "its time ran out")
                    expired.append(live.key)
                else:
                    reason = "neither open, completed nor executed at the broker"
                    self._applier.happen(live, Event.LOSE, "reconciliation", reason)
                    unknown.append(live.key)
        return tuple(unknown), tuple(expired)

    def _has_expired(self, live: LiveOrder) -> bool:
        """Whether an order that was seen alive has outlived its time in force.

        A broker has no status for it: it is derived from the order's terms and the hours.
        """
        order, now = live.order, self._desk.clock.now()
        if live.acked_at != live.acked_at:
            return False
        if order.good_till is not None:
            return now > order.good_till
        if order.time_in_force is not TimeInForce.DAY or order.outside_rth:
            return False
        definition = self._definitions(self._broker.name, order.instrument)
        hours = definition.liquid_hours if definition is not None else ()
        elapsed = self._desk.clock.monotonic() - live.acked_at
        accepted = now.timestamp() - elapsed
        return any(accepted < close.timestamp() < now.timestamp() for _, close in hours)

    def _answer_commands(self, answers: Answers, listed: Mapping[str, OrderReport]) -> None:
        """Judge commands whose answer did not come, by what the broker lists."""
        if not answers.complete:
            return
        for live in self._desk.book.live(self._broker.name):
            report = listed.get(live.key)
            for command in self._unanswered(live, answers):
                if report is None:
                    # Nothing will ever answer a command of an order that is not listed.
                    if live.state is OrderState.UNKNOWN:
                        reason = "no answer, and the order is not listed"
                        self._applier.command(live, command, CommandEvent.LOSE, reason)
                elif command.verb is Verb.CANCEL or report.terms is None:
                    reason = "no answer, and the order is still open"
                    self._applier.command(live, command, CommandEvent.LOSE, reason)
                elif not differences(live.order, report.terms):
                    reason = "the broker lists the old terms"
                    command.disproved = True
                    self._applier.command(live, command, CommandEvent.REFUSE, reason, doubted=True)

    def _unanswered(self, live: LiveOrder, answers: Answers) -> list[Command]:
        patience = self._settings.acknowledge_within
        return [
            command
            for command in live.commands
            if command.state is CommandState.SENT
            and not answers.asked_at - command.sent_at < patience
        ]
