"""Orders: the facade that an agent and the runtime hold."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import overload

from alluse_core.clock import Clock
from alluse_core.errors import (
    BrokerError,
    OrderError,
    OrderNotFound,
    UsageError,
    did_you_mean,
)
from alluse_core.model import (
    AccountMode,
    AccountValue,
    BrokerNotice,
    Commission,
    Evidence,
    Execution,
    Instrument,
    LinkReport,
    LinkState,
    NodeIdentity,
    Order,
    OrderGroup,
    OrderReport,
    OrderState,
    Position,
    Snapshot,
)
from alluse_core.orders.approval import Approval, Difference
from alluse_core.orders.book import Book
from alluse_core.orders.breaker import Breaker, BreakerState
from alluse_core.orders.canary import Canary
from alluse_core.orders.checks import Checks, Gate
from alluse_core.orders.commands import Commands, Price
from alluse_core.orders.control import Control, Flattened
from alluse_core.orders.evidence import Applier, Desk
from alluse_core.orders.identity import References
from alluse_core.orders.ids import IdSequence
from alluse_core.orders.increase import risk_increasing
from alluse_core.orders.journal import Journal
from alluse_core.orders.lanes import Outbox
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.meters import COMPONENT, Meters
from alluse_core.orders.notices import Notices
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.orders.pipeline import Pipeline
from alluse_core.orders.protection import Protection
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.reconcile import Carried, Reconciler, Reconciliation
from alluse_core.orders.records import Kind
from alluse_core.orders.recovery import rebuild
from alluse_core.orders.resolution import refuse_resolution
from alluse_core.orders.states import Event
from alluse_core.orders.ticket import CommandTicket, GroupTicket, Ticket
from alluse_core.orders.user_rules import table_with
from alluse_core.orders.view import DefinitionLookup, QuoteLookup
from alluse_core.ports import Broker, OrderStage, TradingState
from alluse_core.settings import OnMismatch, OrdersMode, OrdersSettings
from alluse_core.telemetry import Registry

_log = logging.getLogger(__name__)
_WATCH_PERIOD = 1.0
_LEVELS = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 0.5, BreakerState.OPEN: 1.0}


class Orders:
    """Takes orders, sends each at most once, and knows what became of it.

    Every call belongs to one event loop. ``evidence`` is the sink that brokers are opened with.
    """

    def __init__(
        self,
        *,
        brokers: Mapping[str, Broker],
        pacers: Mapping[str, SlidingWindowPacer],
        stages: tuple[OrderStage, ...],
        journal: Journal,
        clock: Clock,
        telemetry: Registry,
        settings: OrdersSettings,
        node: NodeIdentity,
        quote: QuoteLookup,
        definition: DefinitionLookup,
    ) -> None:
        self._brokers = brokers
        self._journal = journal
        self._clock = clock
        self._settings = settings
        self._book = Book()
        self._gate = Gate(reconciling=set(brokers))
        self._meters = Meters(telemetry)
        journal.instrument(telemetry)
        self._references = References(settings.reference_prefix, node)
        self._desk = desk = Desk(
            self._book,
            journal,
            clock,
            self._meters,
            self._references,
            self._ask,
            self._page,
            self._named,
            {name: self._breaker(name) for name in brokers},
            self._slower,
        )
        self._pacers = pacers
        self._reader: JournalReader | None = None
        self._applier = Applier(desk, self._restore_reference)
        self._notices = Notices(desk, self._applier, table_with(settings.errors))
        checks = Checks(stages, desk, self._gate, settings, quote, definition)
        self._sequences = {
            name: IdSequence(broker, self._reserve) for name, broker in brokers.items()
        }
        self._outboxes = {
            name: Outbox(
                broker,
                pacers[name],
                desk,
                self._applier,
                self._sequences[name],
                settings.send_within,
            )
            for name, broker in brokers.items()
        }
        self._pipeline = Pipeline(
            desk,
            checks,
            self._applier,
            brokers,
            self._outboxes,
            self._sequences,
            settings,
            node,
            self._restore_key,
        )
        self._commands = Commands(desk, checks, self._applier, brokers, self._outboxes)
        self._control = Control(
            desk,
            self._gate,
            self._commands,
            self._pipeline,
            self._outboxes,
            settings.acknowledge_within,
            shadow=settings.mode is OrdersMode.SHADOW,
        )
        self._approval = Approval(desk)
        self._canary = Canary(desk, settings.canary, node.agent, quote)
        self._gate.unapproved = self._unapproved
        self._gate.canary = self._canary.check
        self._pipeline.let_through = self._canary.took
        self._reconcilers = {
            name: Reconciler(
                broker,
                desk,
                self._applier,
                self._gate,
                settings,
                definition,
                self._mismatched,
                self._learnt,
            )
            for name, broker in brokers.items()
        }
        self._asked: dict[str, frozenset[tuple[str, int]]] = dict.fromkeys(brokers, frozenset())
        self._tasks: list[asyncio.Task[None]] = []
        self._started = False
        self._gate.unfinished = self._unfinished
        self._protection = Protection(self._book, self._entry_of, telemetry)
        self._observe(telemetry)
        self._recover()

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open for orders, once all brokers were asked for their evidence.

        A broker that cannot be asked now keeps its gate shut for new risk until it can.
        """
        if self._started:
            return
        self._started = True
        body = {"brokers": sorted(self._brokers), "problem": self._journal.problem}
        self._journal.append(self._journal.scribe.row(Kind.START, body))
        for outbox in self._outboxes.values():
            outbox.start()
        for name in self._brokers:
            self._approval.begin(name, self._read(), self._needs_approval(name))
        self._canary.begin()
        await asyncio.gather(*(self._first_round(name) for name in self._brokers))
        self._tasks = [
            asyncio.create_task(reconciler.run(), name=f"reconcile-{name}")
            for name, reconciler in self._reconcilers.items()
        ]
        self._tasks.append(asyncio.create_task(self._watch(), name="order-watch"))

    async def stop(self) -> None:
        """Stop sending and asking; orders at the broker stay as they are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for outbox in self._outboxes.values():
            await outbox.stop()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._started:
            self._started = False
            await self._journal.flushed()
            self._withdraw_unsent()
            await self._journal.flushed()

    def _withdraw_unsent(self) -> None:
        # What provably never left must not come back as UNKNOWN after the next start.
        for live in self._book.live():
            if live.unsent:
                live.unsent = False
                self._applier.happen(live, Event.WITHDRAW, "stop", "stopped before it was sent")

    async def flush(self) -> None:
        """Return once all that is known is in the journal. Raises JournalError."""
        await self._journal.flushed()

    async def _first_round(self, name: str) -> None:
        try:
            await self._reconcilers[name].round()
        except BrokerError as error:
            _log.warning("evidence of %s could not be had: %s", name, error)
            self._reconcilers[name].want()

    # --- evidence -------------------------------------------------------------------------------

    def evidence(self, item: Evidence) -> None:
        """Take one piece of evidence, in order. Never raises, never drops."""
        try:
            self._take(item)
        except Exception:  # noqa: BLE001 - a transport's callback must not die of what it reported
            _log.exception("evidence could not be applied: %r", item)
            self._meters.evidence_errors.value += 1
            self._ask(item.broker, "a piece of evidence could not be applied")

    def _take(self, item: Evidence) -> None:
        if isinstance(item, OrderReport):
            self._applier.report(item)
        elif isinstance(item, Execution):
            self._applier.execution(item)
        elif isinstance(item, Commission):
            self._applier.commission(item)
        elif isinstance(item, BrokerNotice):
            self._notices.take(item, self._brokers[item.broker].link)
        else:
            self._link(item)

    def _link(self, report: LinkReport) -> None:
        body = {"broker": report.broker, "link": report.state.value, "reason": report.reason}
        self._journal.append(self._journal.scribe.row(Kind.NOTICE, body))
        self._meters.count("link_changes", broker=report.broker, state=report.state).value += 1
        self._gate.reconciling.add(report.broker)
        if report.state is LinkState.UP and self._started:
            self._outboxes[report.broker].resume_deferred()
            self._ask(report.broker, report.reason)

    def _ask(self, broker: str, why: str) -> None:
        _log.info("asking %s for evidence: %s", broker, why)
        if broker in self._reconcilers:
            self._reconcilers[broker].want()

    def _named(self, broker: str) -> None:
        # A crash lost the number of an order that is to be cancelled; now the cancel can leave.
        if broker in self._outboxes:
            self._outboxes[broker].resume_deferred()

    def _slower(self, broker: str) -> None:
        pacer = self._pacers[broker]
        if isinstance(pacer, SlidingWindowPacer):
            pacer.back_off()

    def _page(self, reason: str) -> None:
        self._control.page(reason)

    def _mismatched(self, reason: str) -> None:
        if self._settings.on_mismatch is OnMismatch.HALT:
            self._control.stop(reason)
        else:
            self._meters.count("pages").value += 1

    def _needs_approval(self, name: str) -> bool:
        broker = self._brokers[name]
        modes = {broker.account_mode(account) for account in broker.accounts}
        return self._settings.approve_start or AccountMode.LIVE in modes

    def _unapproved(self, broker: str) -> int:
        return len(self._approval.open) or int(broker in self._approval.waiting)

    def _learnt(self, broker: str, carried: Carried, external: int) -> None:
        self._approval.learnt(broker, carried, external)

    async def reconcile(self, broker: str) -> Reconciliation:
        """Ask one broker for all evidence and apply it.

        Raises OrderError for a name not known, BrokerUnavailable or RequestFailed where it could
        not be asked: then nothing is proven.
        """
        if broker not in self._reconcilers:
            raise OrderError(f"broker {broker!r} is not among {sorted(self._reconcilers)}")
        return await self._reconcilers[broker].round()

    async def reconcile_all(self) -> None:
        """Ask every broker; one that cannot be asked is asked again by itself."""
        for name in self._brokers:
            await self._first_round(name)

    # --- commands -------------------------------------------------------------------------------

    @overload
    async def submit(self, order: Order) -> Ticket: ...
    @overload
    async def submit(self, order: OrderGroup) -> GroupTicket: ...
    async def submit(self, order: Order | OrderGroup) -> Ticket | GroupTicket:
        """Check, reserve and journal; return once it is durable. It is sent in its turn.

        The same key with the same content returns the ticket of the first time. A submit that is
        cancelled is not retracted. Raises OrderDenied (TradingHalted) where a control refused it,
        KeyConflict for a key with other content, JournalError where it could not be made durable
        and so will not be sent.
        """
        lives = await self._pipeline.submit(order)
        tickets = tuple(Ticket(live, self._clock) for live in lives)
        return GroupTicket(order.key, tickets) if isinstance(order, OrderGroup) else tickets[0]

    async def modify(
        self,
        key: str,
        *,
        limit_price: Price | None = None,
        stop_price: Price | None = None,
        quantity: Price | None = None,
    ) -> CommandTicket:
        """Change a live order; return once the command is durable.

        Raises OrderNotFound, CommandRejected where the order ended, OrderDenied where a control
        refuses the new terms.
        """
        live = self._live(key)
        command = await self._commands.modify(live, limit_price, stop_price, quantity)
        return CommandTicket(live, command, self._clock)

    async def cancel(self, key: str) -> CommandTicket:
        """Ask for a cancel; an order that has not left is withdrawn.

        Raises OrderNotFound, CommandRejected where the order ended already.
        """
        live = self._live(key)
        return CommandTicket(live, await self._commands.cancel(live), self._clock)

    async def halt(self, reason: str) -> None:
        """Stop new risk and cancel what increases it; protective orders stay."""
        await self._control.halt(reason)
        await self._journal.flushed()

    async def reduce(self, reason: str) -> None:
        """Allow only what reduces risk; working orders stay. A halt is not weakened by it."""
        self._control.reduce(reason)
        await self._journal.flushed()

    async def flatten(self) -> Flattened:
        """Close all positions, then cancel what protects them; what takes longer goes on."""
        return await self._control.flatten()

    async def begin_flatten(self) -> None:
        """Ask for :meth:`flatten` and return once that is durable."""
        self._control.begin_flatten()
        await self._journal.flushed()

    async def resume(self, by: str) -> None:
        """Allow new risk again; ``by`` names who decided. Raises UsageError without a name."""
        self._control.resume(by)
        await self._journal.flushed()

    async def close_breaker(self, broker: str, by: str) -> None:
        """Let new orders to a broker pass again; ``by`` names who decided.

        Raises UsageError without a name, OrderError for a broker not known.
        """
        if not by.strip():
            raise UsageError("closing a breaker needs the name of who decides it")
        breaker = self._desk.breakers.get(broker)
        if breaker is None:
            known = sorted(self._brokers)
            raise OrderError(f"broker {broker!r} is not among {known}{did_you_mean(broker, known)}")
        breaker.close(by)
        await self._journal.flushed()

    @property
    def breakers(self) -> Mapping[str, BreakerState]:
        """Whether new orders to each broker pass; see :class:`~alluse_core.orders.breaker`."""
        now = self._clock.monotonic()
        return {name: breaker.state(now) for name, breaker in self._desk.breakers.items()}

    def _breaker(self, broker: str) -> Breaker:
        settings = self._settings

        def changed(state: BreakerState, why: str) -> None:
            _log.warning("the breaker of %s is %s: %s", broker, state.value, why)
            self._meters.count("breaker_changes", broker=broker, state=state.value).value += 1
            body = {"action": "breaker", "broker": broker, "breaker": state.value, "reason": why}
            self._journal.append(self._journal.scribe.row(Kind.CONTROL, body))

        return Breaker(
            settings.breaker_failures, settings.breaker_window, settings.breaker_pause, changed
        )

    async def resolve(self, key: str, as_state: OrderState, by: str) -> None:
        """Settle an UNKNOWN order that no evidence can settle any more, by a person's word.

        The broker is asked once more, where it can be. Its commands that were not answered end with
        it. Raises UsageError without a name or for a state that is not final, OrderError where the
        order is not UNKNOWN or evidence contradicts the state.
        """
        live = self._live(key)
        refuse_resolution(live, as_state, by)
        if live.order.broker in self._reconcilers:
            await self._first_round(live.order.broker)
            refuse_resolution(live, as_state, by)
        self._applier.resolve(live, as_state, by)
        await self._journal.flushed()

    async def approve(self, by: str) -> tuple[Difference, ...]:
        """Approve what the start found; return it. Raises UsageError without a name."""
        if not by.strip():
            raise UsageError("approving needs the name of who decides it")
        if self._approval.waiting:
            raise OrderError(f"{sorted(self._approval.waiting)} did not tell its evidence yet")
        approved = self._approval.approve(by)
        await self._journal.flushed()
        return approved

    async def lift_canary(self, by: str) -> None:
        """End the caps of a new version. Raises UsageError or OrderError; see Canary.lift."""
        self._canary.lift(by)
        await self._journal.flushed()

    # --- what is known --------------------------------------------------------------------------

    def get(self, key: str) -> Ticket:
        """Return the ticket of a key, also of orders from before a restart.

        Raises OrderNotFound.
        """
        return Ticket(self._live(key), self._clock)

    def all(self) -> list[Ticket]:
        """Return the orders in memory: all that live, and the newest that ended."""
        return [Ticket(live, self._clock) for live in self._book]

    def increasing(self) -> list[Ticket]:
        """Return the working orders that could open, enlarge or flip a position."""
        found = risk_increasing(self._book, self._book.live(), self._gate.reconciling)
        return [Ticket(live, self._clock) for live in found]

    def positions(self) -> Snapshot[Position]:
        """Return what the accounts hold: the broker's word, and our fills since."""
        return Snapshot(tuple(self._book.held()), self._as_of(), self._all_known())

    def unprotected(self) -> Mapping[Instrument, Decimal]:
        """Return how much is open of brackets whose protection does not work at the broker.

        Brackets all of whose exits ended before this process began are not known any more.
        """
        return self._protection.look()

    @property
    def instruments_at_work(self) -> frozenset[Instrument]:
        """The instruments of live orders and of positions, whichever broker they are at."""
        return self._book.instruments_at_work()

    def account_values(self) -> Snapshot[AccountValue]:
        """Return the accounts' figures, as last told."""
        return Snapshot(tuple(self._book.values.values()), self._as_of(), self._all_known())

    @property
    def state(self) -> TradingState:
        """What may be sent."""
        return self._gate.state

    @property
    def differences(self) -> tuple[Difference, ...]:
        """What the start found to be otherwise than the journal says, until it is approved."""
        return self._approval.differences

    @property
    def unapproved(self) -> tuple[Difference, ...]:
        """Those of the differences that hold new risk back."""
        return self._approval.open

    @property
    def flattening(self) -> bool:
        """Whether positions are being closed, or wait until they can be."""
        return self._control.flattening

    @property
    def reconciling(self) -> bool:
        """Whether new risk waits until a broker has told what became of earlier orders."""
        return bool(self._gate.reconciling)

    @property
    def reason(self) -> str:
        """Why not everything may be sent; empty while ACTIVE."""
        return self._gate.reason

    def _as_of(self) -> datetime:
        known = [each.as_of for each in self._reconcilers.values() if each.as_of is not None]
        return min(known) if known else self._clock.now()

    def _all_known(self) -> bool:
        return all(each.as_of is not None for each in self._reconcilers.values())

    def _live(self, key: str) -> LiveOrder:
        live = self._book.get(key) or self._restore_key(key)
        if live is None:
            raise OrderNotFound(
                f"no order has the key {key!r}", hint="see 'alluse orders list' for the keys"
            )
        return live

    # --- the journal's memory -------------------------------------------------------------------

    def _recover(self) -> None:
        general, stories = self._journal.recover()
        for entry in general:
            if entry.kind == Kind.IDS and entry.body["broker"] in self._sequences:
                self._sequences[entry.body["broker"]].above(entry.body["up_to"])
        self._control.restore(general)
        self._applier.restore(general)
        self._approval.restore(general)
        self._canary.restore(general)
        if self._canary.since is not None:
            self._canary.took(self._read().keys_sent_after(self._canary.began_at))
        for story in stories:
            live = rebuild(story)
            if live is not None:
                self._book.add(live)
                self._withdraw_unreleased(live)

    def _withdraw_unreleased(self, live: LiveOrder) -> None:
        # It was still waiting to be let go when the process before this one ended.
        if live.waits and live.state is OrderState.SUBMITTED:
            reason = "the process ended before it was sent"
            self._applier.happen(live, Event.WITHDRAW, "recovery", reason)

    def _entry_of(self, key: str) -> LiveOrder | None:
        return self._book.get(key) or self._restore_key(key)

    def _restore_key(self, key: str) -> LiveOrder | None:
        if not self._book.forgotten and not self._journal.orders_ever:
            return None
        return self._restore(key)

    def _restore_reference(self, reference: str) -> LiveOrder | None:
        if not self._book.forgotten and not self._journal.orders_ever:
            return None
        key = self._read().key_of(reference)
        return None if key is None else self._restore(key)

    def _restore(self, key: str) -> LiveOrder | None:
        try:
            story = self._read().story(key)
        except OrderNotFound:
            return None
        live = rebuild(story)
        if live is not None:
            self._book.add(live)
        return live

    def _read(self) -> JournalReader:
        if self._reader is None:
            self._reader = self._journal.read()
        return self._reader

    def _reserve(self, fields: Mapping[str, int | str]) -> None:
        self._journal.append(self._journal.scribe.row(Kind.IDS, fields))

    # --- watching -------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(_WATCH_PERIOD)
            self._journal.retry()
            await self._control.pursue()
            self._protection.look()
            for name in self._brokers:
                if self._may_ask(name, self._overdue(name)):
                    self._ask(name, "an answer is overdue")

    def _may_ask(self, broker: str, overdue: frozenset[tuple[str, int]]) -> bool:
        """Return whether to ask for what is overdue; again for the same as the budget allows."""
        first, self._asked[broker] = overdue - self._asked[broker], overdue
        if first or not overdue:
            return bool(first)
        passes = self._desk.retries[broker].passes(self._clock.monotonic())
        self._meters.retries("question", "made" if passes else "held").value += 1
        return passes

    def _overdue(self, broker: str) -> frozenset[tuple[str, int]]:
        """Return what waits too long for an answer: (key, number of the command or 0)."""
        now = self._clock.monotonic()
        latest = now - self._settings.acknowledge_within
        found: set[tuple[str, int]] = set()
        for live in self._book.live(broker):
            if live.state is OrderState.SUBMITTED and live.sent_at < latest:
                self._desk.breakers[broker].failed(live.key, now, "no answer came")
                found.add((live.key, 0))
            found.update(
                (live.key, command.number)
                for command in live.commands
                if command.state.is_pending and command.sent_at < latest
            )
        return frozenset(found)

    def _unfinished(self) -> int:
        waiting = sum(outbox.depth for outbox in self._outboxes.values())
        return self._pipeline.undurable + waiting

    def _observe(self, telemetry: Registry) -> None:
        observe = telemetry.observe
        observe(COMPONENT, "orders_in_flight", lambda: float(len(self._book.live())))
        observe(COMPONENT, "orders_unknown_now", lambda: float(len(self._book.unknown)))
        observe(COMPONENT, "queue_depth", lambda: float(self._unfinished()))
        observe(
            COMPONENT,
            "external_orders",
            lambda: float(sum(each.external for each in self._reconcilers.values())),
        )
        observe(
            COMPONENT,
            "new_risk_allowed",
            lambda: float(self._gate.state is TradingState.ACTIVE and not self._gate.reconciling),
        )
        for broker, breaker in self._desk.breakers.items():
            observe(
                COMPONENT,
                "breaker_open",
                partial(self._breaker_level, breaker),
                broker=broker,
            )
        observe("journal", "records", lambda: float(self._journal.committed))
        observe("journal", "healthy", lambda: float(not self._troubled()))

    def _breaker_level(self, breaker: Breaker) -> float:
        return _LEVELS[breaker.state(self._clock.monotonic())]

    def _troubled(self) -> bool:
        return bool(self._journal.problem or self._journal.trouble)
