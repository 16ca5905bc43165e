"""A broker, its limits and its connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Protocol

import attrs

from alluse_core.model import (
    AccountMode,
    AccountValue,
    Bar,
    Evidence,
    Execution,
    Instrument,
    InstrumentDefinition,
    LinkState,
    Order,
    OrderIdentity,
    OrderReport,
    OrderState,
    Outcome,
    Phase,
    Position,
    Quote,
    Snapshot,
    Verb,
)


class Priority(IntEnum):
    """Whose turn comes first where messages are limited: lower values first."""

    CANCEL = 0
    EXIT = 1
    ORDER = 2
    DATA = 3


class Pacer(Protocol):
    """Keeps one broker's messages under its limit, orders and data together."""

    async def turn(self, priority: Priority, messages: int = 1) -> float:
        """Wait until ``messages`` may be sent back to back; return the seconds waited."""


class Classify(Protocol):
    """Says what a coded message means, by the user's rules and then by ALL-USE's own table.

    The arguments are those of :func:`alluse_core.orders.outcomes.classify`. An adapter that acts
    on codes of its own accord asks this, so that one table holds everywhere.
    """

    def __call__(
        self,
        code: int | None,
        text: str = "",
        verb: Verb | None = None,
        phase: Phase = Phase.SENT,
        order_state: OrderState | None = None,
        link: LinkState = LinkState.UP,
    ) -> Outcome:
        """Return what it means."""


@attrs.frozen
class BrokerCapabilities:
    """What a broker can do and what it costs; decisions about quotes and pacing follow from it.

    ``messages_per_second`` 0 means unlimited. ``quote_lines`` is how many instruments may stream
    at once. ``snapshot_batch`` is how many instruments one snapshot request takes (1: no batch);
    ``snapshot_seconds`` its worst usual latency. ``numeric_order_ids``: orders carry a number
    that the caller takes from a rising sequence per client.
    """

    messages_per_second: float = 0.0
    quote_lines: int = 100
    snapshot_batch: int = 1
    snapshot_seconds: float = 1.0
    streams: bool = True
    numeric_order_ids: bool = False
    historical_bars: bool = False


@attrs.frozen
class OrderMessage:
    """One order as it is to be sent. All defaults are filled in.

    ``order_ref`` is the durable name that the broker echoes. ``order_id`` is 0 where the broker
    has no numeric ids. ``parent_order_id``, ``oca_group`` and ``transmit`` tie groups together:
    only the last message of a group is sent with ``transmit``. ``reducing``: it is proven to
    reduce risk, so a broker that refuses new risk must still send it. ``oca_reduces``: a fill of
    one order of the group takes as much off the others, instead of cancelling them.
    """

    order: Order
    order_ref: str
    order_id: int = 0
    parent_order_id: int = 0
    oca_group: str = ""
    transmit: bool = True
    reducing: bool = False
    oca_reduces: bool = False


EvidenceSink = Callable[[Evidence], None]
"""Takes evidence synchronously, in order; never raises, never drops."""

QuoteSink = Callable[[Quote], None]


class Subscription(Protocol):
    """A live stream of one instrument's quotes."""

    @property
    def instrument(self) -> Instrument:
        """What is streamed."""

    @property
    def alive_at(self) -> float:
        """Monotonic seconds at which the stream was last known to be alive; NaN: never yet."""

    def close(self) -> None:
        """End the stream. Safe to call twice."""


class Broker(Protocol):
    """A connection to one broker.

    ``place``, ``modify`` and ``cancel`` are synchronous: they hand the whole message to the
    transport, or raise :class:`~alluse_core.errors.NotSent` when provably no byte left. The
    caller has waited for its turn at the pacer and has journaled what it is about to send. What
    becomes of it comes back as evidence through the sink of the context. Queries wait for their
    own turn at the pacer of the context.

    A query that fails raises BrokerUnavailable or RequestFailed; "could not ask" is never [].
    """

    @property
    def name(self) -> str:
        """The name under which the settings know this broker."""

    @property
    def capabilities(self) -> BrokerCapabilities:
        """What it can do; constant while it is open."""

    async def connect(self) -> None:
        """Connect, or raise BrokerUnavailable. Afterwards the broker keeps itself connected.

        When it returns, accounts are known and ``order_id_floor`` holds.
        """

    async def close(self) -> None:
        """End all connections. Orders at the broker stay as they are."""

    @property
    def link(self) -> LinkState:
        """The state of the order path now."""

    @property
    def accounts(self) -> Sequence[str]:
        """The accounts this login may trade; empty before ``connect``."""

    def account_mode(self, account: str) -> AccountMode:
        """Judge by the account's name: paper or live, UNKNOWN where it does not say."""

    @property
    def client_id(self) -> int:
        """The identity that orders are sent under; 0 where the broker has none."""

    @property
    def order_id_floor(self) -> int:
        """No order id below this one may be used; 0 where the broker has no numeric ids."""

    def place(self, messages: Sequence[OrderMessage]) -> None:
        """Send the orders of one intent, contiguously."""

    def modify(self, message: OrderMessage, identity: OrderIdentity) -> None:
        """Replace the terms of a live order."""

    def cancel(self, identity: OrderIdentity) -> None:
        """Ask for a cancel."""

    async def open_orders(self) -> Snapshot[OrderReport]:
        """Return all open orders of the login, those of other clients and of people included."""

    async def completed_orders(self) -> Snapshot[OrderReport]:
        """Return orders that ended, as far back as the broker reaches (IBKR: today)."""

    async def executions(self) -> Snapshot[Execution]:
        """Return fills, as far back as the broker reaches (IBKR: since midnight).

        Their commissions are sent to the evidence sink.
        """

    async def positions(self) -> Snapshot[Position]:
        """Return what all accounts hold."""

    async def account_values(self) -> Snapshot[AccountValue]:
        """Return the accounts' figures under the broker's own names."""

    async def define(self, instrument: Instrument) -> InstrumentDefinition:
        """Return what the broker knows of an instrument.

        Raises InstrumentNotFound or AmbiguousInstrument. Answers are kept.
        """

    async def snapshots(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Quote]:
        """Return one quote each; an instrument without an answer is missing from the mapping."""

    def subscribe(self, instrument: Instrument, sink: QuoteSink) -> Subscription:
        """Stream quotes into ``sink``; survives reconnects. The sink gets a new Quote each time."""

    async def bars(
        self, instrument: Instrument, end: datetime | None, duration: timedelta, size: timedelta
    ) -> Sequence[Bar]:
        """Return historical bars in rising time; ``end`` None means now."""

    async def probe(self) -> float:
        """Ask the broker for a sign of life and return the round trip in seconds."""
