"""The order path: what is sent, and the evidence that comes back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from alluse_core.errors import NotSent
from alluse_core.model import (
    BrokerNotice,
    BrokerStatus,
    ErrorClass,
    Evidence,
    Instrument,
    LinkReport,
    LinkState,
    OrderIdentity,
    OrderReport,
    OrderState,
    Verb,
)
from alluse_core.ports import Classify, OrderMessage
from alluse_core.telemetry import Counter, Registry
from alluse_ibkr import codes, orders
from alluse_ibkr.client import REQUEST_IDS_FROM, Library
from alluse_ibkr.connection import Connection
from alluse_ibkr.contracts import ContractBook
from alluse_ibkr.gathering import Gathering
from alluse_ibkr.meters import COMPONENT
from alluse_ibkr.wrapper import Listener

T = TypeVar("T")

_log = logging.getLogger(__name__)

UNDECODABLE = 0
"""The code of the notice that an unreadable message leaves: evidence must be asked for."""


class OrderDesk(Listener):
    """Sends orders over the order connection and turns what it hears into evidence, in order."""

    def __init__(
        self,
        broker: str,
        library: Library,
        book: ContractBook,
        evidence: Callable[[Evidence], None],
        registry: Registry,
        *,
        classify: Classify,
        read_only: bool,
        data_lost: Callable[[], None],
    ) -> None:
        self._state = LinkState.DOWN
        self._gated = ""
        self.turns = 0
        self.floor = 0
        self.connection: Connection | None = None
        self._broker = broker
        self._library = library
        self._book = book
        self._sink = evidence
        self._registry = registry
        self._classify = classify
        self._read_only = read_only
        self._data_lost = data_lost
        self._sent: dict[int, tuple[Instrument, str]] = {}
        self._refs: dict[int, str] = {}
        self._rejects: dict[int, str] = {}
        self._verbs: dict[int, Verb] = {}
        self._states: dict[int, OrderState | None] = {}
        self._counts: dict[str, Counter] = {}
        self.gathering = Gathering()

    # --- sending ---------------------------------------------------------------------------

    def place(self, messages: Sequence[OrderMessage]) -> None:
        """Hand all messages to the transport back to back, or raise NotSent."""
        client, client_id = self._ready(Verb.PLACE)
        for message in messages:
            # Safe means able to get out: what is proven to reduce risk is sent all the same.
            if not message.reducing:
                self._book.check_tradable(message.order.instrument)
        made = [
            (
                message.order_id,
                self._contract(message),
                orders.to_wire(self._library, message, client_id),
            )
            for message in messages
        ]
        for message in messages:
            _remember(self._sent, message.order_id, (message.order.instrument, message.order_ref))
            _remember(self._verbs, message.order_id, Verb.PLACE)
            self._saw(message.order_id)
        for order_id, contract, order in made:
            client.placeOrder(order_id, contract, order)

    def modify(self, message: OrderMessage, identity: OrderIdentity) -> None:
        """Send the new terms under the order's own id, or raise NotSent."""
        client, client_id = self._ready(Verb.MODIFY)
        order_id = self._own(identity, client_id, Verb.MODIFY)
        contract = self._contract(message)
        order = orders.to_wire(self._library, message, client_id, order_id)
        _remember(self._verbs, order_id, Verb.MODIFY)
        client.placeOrder(order_id, contract, order)

    def _contract(self, message: OrderMessage) -> Any:
        choose = self._book.contract_held if message.reducing else self._book.contract
        return choose(message.order.instrument)

    def cancel(self, identity: OrderIdentity) -> None:
        """Send a cancel, or raise NotSent."""
        client, client_id = self._ready(Verb.CANCEL)
        order_id = self._own(identity, client_id, Verb.CANCEL)
        _remember(self._verbs, order_id, Verb.CANCEL)
        client.cancelOrder(order_id)

    def _ready(self, verb: Verb) -> tuple[Any, int]:
        connection = self.connection
        if self._read_only:
            raise NotSent(
                f"{self._broker} is read-only, so the {verb.value} was not sent",
                hint="set read_only = false to trade",
            )
        if connection is None or not connection.ready:
            why = f": {connection.last_error}" if connection and connection.last_error else ""
            raise NotSent(f"the order connection of {self._broker} is down{why}")
        # Taken and used within one turn of the loop, the lease cannot have become stale.
        return connection.lease().session.client, connection.client_id

    def _own(self, identity: OrderIdentity, client_id: int, verb: Verb) -> int:
        if not identity.order_id:
            raise NotSent(
                f"the order {identity.order_ref or identity.perm_id} has no order id here, so the "
                f"{verb.value} was not sent",
                hint="it was placed by hand or by another program: end it there",
            )
        if identity.client_id != client_id:
            raise NotSent(
                f"order {identity.order_id} belongs to client id {identity.client_id}, and this is "
                f"{client_id}, so the {verb.value} was not sent",
                hint="only the client id that sent an order may change or cancel it",
            )
        return identity.order_id

    # --- evidence --------------------------------------------------------------------------

    def emit(self, item: Evidence) -> None:
        """Count a piece of evidence and pass it on."""
        kind = type(item).__name__
        count = self._counts.get(kind)
        if count is None:
            count = self._counts[kind] = self._registry.counter(
                COMPONENT, "evidence", broker=self._broker, kind=kind
            )
        count.value += 1
        self._sink(item)

    def _saw(self, order_id: int) -> None:
        if order_id >= self.floor and order_id < REQUEST_IDS_FROM:
            self.floor = order_id + 1

    def _is_own(self, client_id: int) -> bool:
        return self.connection is not None and client_id == self.connection.client_id

    def _named(
        self, contract: Any, client_id: int, order_id: int, order_ref: str
    ) -> Instrument | None:
        """Return the instrument of a message; a combo is known by the order that we sent."""
        if contract.secType == "BAG" and self._is_own(client_id):
            sent, sent_ref = self._sent.get(order_id, (None, ""))
            return sent if sent_ref == order_ref else None
        return self._book.instrument(contract)

    def on_next_id(self, order_id: int) -> None:
        """Raise the floor; the broker's own number may have gone back after a restart."""
        self.floor = max(self.floor, order_id)

    def on_open_order(self, contract: Any, order: Any, state: Any) -> None:
        """Pass on identity and terms."""
        if order.whatIf:
            return
        if self._is_own(order.clientId):
            self._saw(order.orderId)
            sent, order_ref = self._sent.get(order.orderId, (None, ""))
            if sent is not None and order_ref == order.orderRef and not sent.legs:
                self._book.learn(contract.conId, sent)
        if order.permId and order.orderRef:
            _remember(self._refs, order.permId, order.orderRef)
        instrument = self._named(contract, order.clientId, order.orderId, order.orderRef)
        report = orders.open_order(self._broker, instrument, order, state)
        self.gathering.opened(report)
        self.emit(report)

    def on_completed_order(self, contract: Any, order: Any, state: Any) -> None:
        """Gather for the question, which is the only cause of this message."""
        instrument = self._book.instrument(contract)
        self.gathering.completed(orders.completed_order(self._broker, instrument, order, state))

    def on_order_status(self, fields: tuple[Any, ...]) -> None:
        """Pass on status and quantities."""
        order_id, status, filled, remaining, average, perm_id, _, _, client_id, why_held = fields[
            :10
        ]
        reject, order_ref = None, self._refs.get(perm_id, "")
        if self._is_own(client_id):
            self._saw(order_id)
            reject = self._rejects.get(order_id)
            order_ref = order_ref or self._sent.get(order_id, (None, ""))[1]
        report = orders.order_status(
            self._broker,
            OrderIdentity(order_ref, perm_id, order_id, client_id),
            status,
            filled,
            remaining,
            average,
            why_held,
            reject,
        )
        if self._is_own(client_id):
            _remember(self._states, order_id, _waiting(report))
        self.gathering.status(report)
        self.emit(report)

    def on_execution(self, request_id: int, contract: Any, execution: Any) -> None:
        """Pass on a live fill; gather one that was asked for."""
        if self._is_own(execution.clientId):
            self._saw(execution.orderId)
        instrument = self._named(
            contract, execution.clientId, execution.orderId, execution.orderRef
        )
        if instrument is None and contract.secType == "BAG":
            # Its legs are in the order, not in the message: who knows the order knows them.
            instrument = Instrument.combo(contract.symbol, (), "SMART", contract.currency)
        if instrument is None:
            self.on_undecodable(f"a fill of {contract.secType} {contract.symbol} cannot be named")
            return
        fill = orders.execution(self._broker, instrument, execution)
        if not self.gathering.filled(request_id, fill):
            self.emit(fill)

    def on_commission(self, report: Any) -> None:
        """Pass on what a fill cost."""
        self.emit(orders.commission(self._broker, report))

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """Pass on a coded message, and follow what it says of the link."""
        identity = None
        if 0 < request_id < REQUEST_IDS_FROM and self.connection is not None:
            identity = OrderIdentity(order_id=request_id, client_id=self.connection.client_id)
            verb = self._verbs.get(request_id, Verb.PLACE)
            state = self._states.get(request_id, OrderState.SUBMITTED)
            verdict = self._classify(code, text, verb, order_state=state)
            if verdict.error_class is ErrorClass.DEFINITE_REJECT:
                _remember(self._rejects, request_id, text)
        self.emit(BrokerNotice(self._broker, code, text, identity, request_id))
        if code == codes.UPLINK_LOST:
            self.turn(LinkState.DEGRADED, text, code)
        elif code == codes.UPLINK_BACK_DATA_LOST:
            self.turn(LinkState.UP, text, code, data_lost=True)
            self._data_lost()
        elif code == codes.UPLINK_BACK:
            self.turn(LinkState.UP, text, code)

    def on_undecodable(self, text: str) -> None:
        """Say that a message was lost, so that evidence is asked for."""
        self.emit(BrokerNotice(self._broker, UNDECODABLE, f"a message was unreadable: {text}"))

    def on_retired(self, role: str, client_id: int, reason: str, heir: int | None) -> None:
        """Tell that a client id misbehaved for good, and what takes its place."""
        if role == "order":
            text = f"the order connection is in trouble: {reason}; it keeps client id {client_id}"
        elif heir is None:
            text = f"the {role} connection has no client id left that works: {reason}"
        else:
            text = (
                f"client id {client_id} of the {role} connection is retired: {reason}; "
                f"client id {heir} takes its place"
            )
        _log.warning("%s: %s", self._broker, text)

    # --- the link --------------------------------------------------------------------------

    @property
    def link(self) -> LinkState:
        """The state of the link; GATED where it works and new risk is not allowed."""
        return LinkState.GATED if self._gated and self._state is LinkState.UP else self._state

    @property
    def works(self) -> bool:
        """Whether orders find their way, gated or not."""
        return self._state is LinkState.UP

    @property
    def degraded(self) -> bool:
        """Whether the terminal said that it lost its uplink, and nothing of its return."""
        return self._state is LinkState.DEGRADED

    def uplink_back(self, code: int, text: str) -> None:
        """Take the end of an outage; what 1101 means for the data is the data connection's."""
        self.turn(LinkState.UP, text, code, data_lost=code == codes.UPLINK_BACK_DATA_LOST)

    def turn(
        self, state: LinkState, reason: str, code: int | None = None, *, data_lost: bool = False
    ) -> None:
        """Take a new state of the link and report it; ``turns`` counts them."""
        self._state = state
        self.turns += 1
        self.emit(LinkReport(self._broker, state, reason, code, data_lost))
        if self._gated and state is LinkState.UP:
            # UP first: cancels that waited for the link must leave, window or not.
            self.emit(LinkReport(self._broker, LinkState.GATED, self._gated))

    def gate(self, reason: str) -> None:
        """Allow no new risk for ``reason``, or allow it again ("")."""
        before, self._gated = self._gated, reason
        if bool(before) == bool(reason) or self._state is not LinkState.UP:
            return
        if reason:
            self.emit(LinkReport(self._broker, LinkState.GATED, reason))
        else:
            self.emit(LinkReport(self._broker, LinkState.UP, "the restart window is over"))


def _waiting(report: OrderReport) -> OrderState | None:
    """Return how an order waits, by its status; None once it was filled in part, or ended.

    What is refused then is the rest of it, and a rule for waiting orders says nothing of that.
    """
    return None if report.filled else _WAITING.get(report.status)


_WAITING = {
    BrokerStatus.PENDING: OrderState.SUBMITTED,
    BrokerStatus.WORKING: OrderState.ACCEPTED,
    BrokerStatus.PENDING_CANCEL: OrderState.ACCEPTED,
    BrokerStatus.HELD: OrderState.HELD,
}

_REMEMBERED = 100_000
"""How many orders of this process are remembered by number; the journal knows them all."""


def _remember(names: dict[int, T], number: int, value: T) -> None:
    names[number] = value
    if len(names) > _REMEMBERED:
        del names[next(iter(names))]
