"""Orders: the facade that an agent and the runtime hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import overload

from alluse_core.clock import Clock
from alluse_core.errors import (
    OrderError,
    OrderNotFound,
    RuntimeClosed,
    UsageError,
    did_you_mean,
)
from alluse_core.model import (
    AccountValue,
    Evidence,
    Instrument,
    NodeIdentity,
    Order,
    OrderGroup,
    OrderState,
    Position,
    Snapshot,
)
from alluse_core.orders.approval import Difference
from alluse_core.orders.breaker import BreakerState
from alluse_core.orders.commands import Price
from alluse_core.orders.control import Flattened
from alluse_core.orders.gauges import observe
from alluse_core.orders.increase import risk_increasing
from alluse_core.orders.journal import Journal
from alluse_core.orders.life import Life
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.orders.persons import refuse_no_name
from alluse_core.orders.reconcile import Reconciliation
from alluse_core.orders.resolution import refuse_resolution
from alluse_core.orders.restart import take_over
from alluse_core.orders.ticket import CommandTicket, GroupTicket, Ticket
from alluse_core.orders.view import DefinitionLookup, QuoteLookup
from alluse_core.orders.wiring import Parts
from alluse_core.ports import Broker, OrderStage, TradingState
from alluse_core.redaction import told_of
from alluse_core.settings import OrdersSettings
from alluse_core.telemetry import Registry


class Orders:
    """Takes orders, sends each at most once, and knows what became of it.

    Every call belongs to one event loop. ``evidence`` is the sink that brokers are opened with.
    What each call does is in the part that it is handed to; wiring.py makes them.
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
        told: Callable[[BaseException], str] = told_of,
    ) -> None:
        self._parts = parts = Parts(
            brokers=brokers,
            pacers=pacers,
            stages=stages,
            journal=journal,
            clock=clock,
            telemetry=telemetry,
            settings=settings,
            node=node,
            quote=quote,
            definition=definition,
            told=told,
        )
        self._brokers = brokers
        self._journal = journal
        self._clock = clock
        self._settings = settings
        self._book = parts.book
        self._gate = parts.gate
        self._desk = parts.desk
        self._archive = parts.archive
        self._applier = parts.applier
        self._intake = parts.intake
        self._outboxes = parts.outboxes
        self._pipeline = parts.pipeline
        self._commands = parts.commands
        self._control = parts.control
        self._approval = parts.approval
        self._canary = parts.canary
        self._reconcilers = parts.reconcilers
        self._overdue = parts.overdue
        self._background = parts.background
        self._protection = parts.protection
        self._life = Life(parts, settings, clock)
        self._loop: asyncio.AbstractEventLoop | None = None
        observe(telemetry, parts)
        take_over(parts)

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open for orders, once all brokers were asked for their evidence.

        A broker that cannot be asked now keeps its gate shut for new risk until it can.
        """
        if not self._life.started:
            self._loop = asyncio.get_running_loop()
        await self._life.start()

    async def stop(self) -> None:
        """Stop sending and asking; orders at the broker stay as they are."""
        await self._life.stop()

    async def flush(self) -> None:
        """Return once all that is known is in the journal. Raises JournalError."""
        await self._journal.flushed()

    # --- evidence -------------------------------------------------------------------------------

    def evidence(self, item: Evidence) -> None:
        """Take one piece of evidence, in order. Never raises, never drops."""
        self._intake.take(item)

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
        for name in self._reconcilers:
            await self._life.ask(name)

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
        and so will not be sent, UsageError for what is no order, or from another event loop.
        """
        self._check_caller()
        if not isinstance(order, Order | OrderGroup):
            raise UsageError(f"submit takes an Order or an OrderGroup, not {type(order).__name__}")
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
        refuses the new terms. An exit of a bracket that a person made larger in TWS is changed only
        with its quantity named: CommandRejected without.
        """
        self._check_caller()
        live = self._live(key)
        command = await self._commands.modify(live, limit_price, stop_price, quantity)
        return CommandTicket(live, command, self._clock)

    async def cancel(self, key: str) -> CommandTicket:
        """Ask for a cancel; an order that has not left is withdrawn.

        Raises OrderNotFound, CommandRejected where the order ended already.
        """
        self._check_caller()
        live = self._live(key)
        return CommandTicket(live, await self._commands.cancel(live), self._clock)

    async def halt(self, reason: str) -> None:
        """Stop new risk and cancel what increases it; protective orders stay.

        ``reason`` goes into the journal as one line.
        """
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
        refuse_no_name(by, "closing a breaker")
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

    async def resolve(self, key: str, as_state: OrderState, by: str) -> None:
        """Settle an UNKNOWN order that no evidence can settle any more, by a person's word.

        The broker is asked once more, where it can be. Its commands that were not answered end with
        it. Raises UsageError without a name or for a state that is not final, OrderError where the
        order is not UNKNOWN or evidence contradicts the state.
        """
        live = self._live(key)
        refuse_resolution(live, as_state, by)
        if live.order.broker in self._reconcilers:
            await self._life.ask(live.order.broker)
            refuse_resolution(live, as_state, by)
        self._applier.resolve(live, as_state, by)
        await self._journal.flushed()

    async def approve(self, by: str) -> tuple[Difference, ...]:
        """Approve what the start found; return it. Raises UsageError without a name."""
        refuse_no_name(by, "approving")
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
        """Return how much is open of brackets whose protection does not work at the broker."""
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
        """What may be sent; with a journal that is not whole only what reduces risk."""
        if self._journal.problem and self._gate.state is TradingState.ACTIVE:
            return TradingState.REDUCING
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
        return self._gate.reason or self._journal.problem

    def _check_caller(self) -> None:
        """Refuse what would be lost, or touched by two threads at once."""
        if not self._life.started:
            raise RuntimeClosed(
                "the runtime is closed, so nothing is sent any more",
                hint="use it inside 'async with alluse.open(...)'",
            )
        if asyncio.get_running_loop() is not self._loop:
            raise UsageError(
                "orders are taken in the event loop that the runtime was opened in",
                hint="alluse.open_sync serves threads and other loops",
            )

    def _as_of(self) -> datetime:
        known = [each.as_of for each in self._reconcilers.values() if each.as_of is not None]
        return min(known) if known else self._clock.now()

    def _all_known(self) -> bool:
        return all(each.as_of is not None for each in self._reconcilers.values())

    def _live(self, key: str) -> LiveOrder:
        live = self._archive.get(key)
        if live is None:
            raise OrderNotFound(
                f"no order has the key {key!r}", hint="see 'alluse orders list' for the keys"
            )
        return live
