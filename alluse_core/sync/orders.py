"""The order commands, blocking."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import overload

from alluse_core.model import (
    AccountValue,
    Instrument,
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
from alluse_core.orders.reconcile import Reconciliation
from alluse_core.orders.service import Orders
from alluse_core.ports import TradingState
from alluse_core.sync.loop import Loop
from alluse_core.sync.tickets import SyncCommandTicket, SyncGroupTicket, SyncTicket


class SyncOrders:
    """All of :class:`~alluse_core.orders.service.Orders` that an agent uses, blocking.

    What a call raises is what the call of that name there raises.
    """

    def __init__(self, loop: Loop, orders: Orders) -> None:
        self._loop = loop
        self._orders = orders

    # --- commands -------------------------------------------------------------------------------

    @overload
    def submit(self, order: Order) -> SyncTicket: ...
    @overload
    def submit(self, order: OrderGroup) -> SyncGroupTicket: ...
    def submit(self, order: Order | OrderGroup) -> SyncTicket | SyncGroupTicket:
        """Check, reserve and journal; return once it is durable. It is sent in its turn."""
        if isinstance(order, OrderGroup):
            return SyncGroupTicket(self._loop, self._loop.wait(self._orders.submit(order)))
        return SyncTicket(self._loop, self._loop.wait(self._orders.submit(order)))

    def modify(
        self,
        key: str,
        *,
        limit_price: Price | None = None,
        stop_price: Price | None = None,
        quantity: Price | None = None,
    ) -> SyncCommandTicket:
        """Change a live order; return once the command is durable."""
        changed = self._orders.modify(
            key, limit_price=limit_price, stop_price=stop_price, quantity=quantity
        )
        return SyncCommandTicket(self._loop, self._loop.wait(changed))

    def cancel(self, key: str) -> SyncCommandTicket:
        """Ask for a cancel; an order that has not left is withdrawn."""
        return SyncCommandTicket(self._loop, self._loop.wait(self._orders.cancel(key)))

    def halt(self, reason: str) -> None:
        """Stop new risk and cancel what increases it; protective orders stay."""
        self._loop.wait(self._orders.halt(reason))

    def reduce(self, reason: str) -> None:
        """Allow only what reduces risk; working orders stay. A halt is not weakened by it."""
        self._loop.wait(self._orders.reduce(reason))

    def flatten(self) -> Flattened:
        """Close all positions, then cancel what protects them; what takes longer goes on."""
        return self._loop.wait(self._orders.flatten())

    def begin_flatten(self) -> None:
        """Ask for :meth:`flatten` and return once that is durable."""
        self._loop.wait(self._orders.begin_flatten())

    def resume(self, by: str) -> None:
        """Allow new risk again; ``by`` names who decided."""
        self._loop.wait(self._orders.resume(by))

    def close_breaker(self, broker: str, by: str) -> None:
        """Let new orders to a broker pass again; ``by`` names who decided."""
        self._loop.wait(self._orders.close_breaker(broker, by))

    def resolve(self, key: str, as_state: OrderState, by: str) -> None:
        """Settle an UNKNOWN order by a person's word."""
        self._loop.wait(self._orders.resolve(key, as_state, by))

    def approve(self, by: str) -> tuple[Difference, ...]:
        """Approve what the start found; return it."""
        return self._loop.wait(self._orders.approve(by))

    def lift_canary(self, by: str) -> None:
        """End the caps of a new version."""
        self._loop.wait(self._orders.lift_canary(by))

    def reconcile(self, broker: str) -> Reconciliation:
        """Ask one broker for all evidence and apply it."""
        return self._loop.wait(self._orders.reconcile(broker))

    def reconcile_all(self) -> None:
        """Ask every broker; one that cannot be asked is asked again by itself."""
        self._loop.wait(self._orders.reconcile_all())

    def flush(self) -> None:
        """Return once all that is known is in the journal."""
        self._loop.wait(self._orders.flush())

    # --- what is known --------------------------------------------------------------------------

    def get(self, key: str) -> SyncTicket:
        """Return the ticket of a key, also of orders from before a restart."""
        return SyncTicket(self._loop, self._loop.call(lambda: self._orders.get(key)))

    def all(self) -> list[SyncTicket]:
        """Return the orders in memory: all that live, and the newest that ended."""
        return [SyncTicket(self._loop, each) for each in self._loop.call(self._orders.all)]

    def increasing(self) -> list[SyncTicket]:
        """Return the working orders that could open, enlarge or flip a position."""
        found = self._loop.call(self._orders.increasing)
        return [SyncTicket(self._loop, each) for each in found]

    def positions(self) -> Snapshot[Position]:
        """Return what the accounts hold: the broker's word, and our fills since."""
        return self._loop.call(self._orders.positions)

    def unprotected(self) -> Mapping[Instrument, Decimal]:
        """Return how much is open of brackets whose protection does not work at the broker."""
        return self._loop.call(self._orders.unprotected)

    def account_values(self) -> Snapshot[AccountValue]:
        """Return the accounts' figures, as last told."""
        return self._loop.call(self._orders.account_values)

    @property
    def instruments_at_work(self) -> frozenset[Instrument]:
        """The instruments of live orders and of positions, whichever broker they are at."""
        return self._loop.call(lambda: self._orders.instruments_at_work)

    @property
    def state(self) -> TradingState:
        """What may be sent."""
        return self._loop.call(lambda: self._orders.state)

    @property
    def reason(self) -> str:
        """Why not everything may be sent; empty while ACTIVE."""
        return self._loop.call(lambda: self._orders.reason)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """What the start found to be otherwise than the journal says, until it is approved."""
        return self._loop.call(lambda: self._orders.differences)

    @property
    def unapproved(self) -> tuple[Difference, ...]:
        """Those of the differences that hold new risk back."""
        return self._loop.call(lambda: self._orders.unapproved)

    @property
    def flattening(self) -> bool:
        """Whether positions are being closed, or wait until they can be."""
        return self._loop.call(lambda: self._orders.flattening)

    @property
    def reconciling(self) -> bool:
        """Whether new risk waits until a broker has told what became of earlier orders."""
        return self._loop.call(lambda: self._orders.reconciling)

    @property
    def breakers(self) -> Mapping[str, BreakerState]:
        """Whether new orders to each broker pass."""
        return self._loop.call(lambda: self._orders.breakers)
