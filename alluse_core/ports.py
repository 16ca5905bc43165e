"""What a broker, a cache, a rule ... must be: the Protocols that plugins implement.

Hooks yield providers (:mod:`alluse_core.providers`); a provider opens an object that satisfies
one of these. The conformance suites in :mod:`alluse_core.testing` say in tests what the
docstrings here say in words.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import attrs

from alluse_core.model import (
    AccountMode,
    AccountValue,
    Alert,
    Bar,
    Evidence,
    Execution,
    Finding,
    Instrument,
    InstrumentDefinition,
    LinkState,
    Order,
    OrderGroup,
    OrderIdentity,
    OrderReport,
    OrderState,
    Position,
    Quote,
    Reading,
    Sample,
    SeriesId,
    Severity,
    Side,
    Snapshot,
)

# --- pacing -------------------------------------------------------------------------------------


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


# --- broker -------------------------------------------------------------------------------------


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
    only the last message of a group is sent with ``transmit``.
    """

    order: Order
    order_ref: str
    order_id: int = 0
    parent_order_id: int = 0
    oca_group: str = ""
    transmit: bool = True


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


# --- quotes -------------------------------------------------------------------------------------


@attrs.define
class CacheStats:
    """What a cache has done since it was opened; counts, never rates."""

    hits: int = 0
    misses: int = 0
    expired: int = 0
    stores: int = 0
    evictions: int = 0
    size: int = 0
    capacity: int = 0


class QuoteCache(Protocol):
    """Holds the newest quote by instrument until its deadline.

    ``peek`` and ``store`` are synchronous and local; ``get_many``, ``put_many`` and ``subscribe``
    may reach another machine. A peek counts as a use for the eviction order.
    """

    def peek(self, instrument: Instrument) -> Quote | None:
        """Return the quote if it is held and its deadline has not passed."""

    def store(self, quote: Quote, deadline: float) -> None:
        """Hold ``quote`` until monotonic ``deadline``, in place of an older one."""

    def discard(self, instrument: Instrument) -> None:
        """Forget one instrument; nothing happens where it is not held."""

    def clear(self) -> None:
        """Forget everything held; the statistics stay."""

    def __len__(self) -> int:
        """Return how many entries are held, expired ones that were not touched included."""

    def watch(self, instrument: Instrument, peeked: Callable[[], None]) -> None:
        """Call ``peeked`` once, at the next peek of the instrument, hit or miss.

        Held or not, an instrument has one watch at most: a newer one replaces it. It outlives
        ``store``, ``discard`` and ``clear``, changes neither what a peek returns nor how it
        counts, and costs the hits of unwatched instruments nothing. ``peeked`` may call the
        cache, and does not raise.
        """

    def unwatch(self, instrument: Instrument) -> None:
        """Take the watch back; nothing happens where there is none."""

    def stats(self) -> CacheStats:
        """Return a copy of the statistics."""

    async def get_many(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Quote]:
        """Return those that are held and fresh."""

    async def put_many(self, quotes: Iterable[tuple[Quote, float]]) -> None:
        """Hold several (quote, deadline)."""

    def subscribe(self, instruments: Sequence[Instrument]) -> AsyncIterator[Quote]:
        """Yield quotes as they are stored, the newest of each instrument, older ones skipped."""


# --- orders -------------------------------------------------------------------------------------


class StagePhase(StrEnum):
    """Where in the pipeline a stage stands: phases run in this order."""

    VALIDATE = "validate"
    RISK = "risk"
    ROUTE = "route"


class TradingState(StrEnum):
    """What may be sent: everything, only what reduces risk, or only what protects."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


@attrs.frozen
class Decision:
    """A stage's answer. A denial says the limit, the value and the source of the limit."""

    allowed: bool
    reason: str = ""
    limit: str = ""
    value: str = ""
    source: str = ""


ALLOW = Decision(True)


def deny(reason: str, *, limit: object = "", value: object = "", source: str = "") -> Decision:
    """Return a denial; ``reason`` is one sentence."""
    return Decision(False, reason, str(limit), str(value), source)


@attrs.frozen
class WorkingOrder:
    """An order of ours that may still fill, as a stage sees it. UNKNOWN ones are included.

    Of orders with one ``oca_group`` only one can fill. ``entry`` is the key of the order that
    must fill before this one works: a bracket's exits name their entry.
    """

    key: str
    instrument: Instrument
    side: Side
    remaining: Decimal
    limit_price: Decimal | None
    state: OrderState
    account: str
    oca_group: str = ""
    entry: str = ""


class OrderView(Protocol):
    """What a stage may look at. It does not change while the stages of one order run."""

    @property
    def now(self) -> float:
        """Monotonic seconds."""

    @property
    def time(self) -> datetime:
        """Wall-clock time, aware UTC."""

    @property
    def state(self) -> TradingState:
        """Whether new risk is allowed."""

    @property
    def link(self) -> LinkState:
        """The link of the order's broker."""

    @property
    def reconciling(self) -> bool:
        """Whether the broker's evidence is being asked for after a start or a lost link."""

    @property
    def group(self) -> OrderGroup | None:
        """The group the order belongs to."""

    @property
    def account_mode(self) -> AccountMode:
        """Paper or live, by the account's name."""

    def quote(self, instrument: Instrument) -> Quote | None:
        """Return the newest quote held, fresh or not; None where none is."""

    def definition(self, instrument: Instrument) -> InstrumentDefinition | None:
        """Return the broker's definition if it is known already."""

    def position(self, instrument: Instrument) -> Decimal:
        """Return our signed position in the order's account: the broker's, plus fills since."""

    def working(self, instrument: Instrument | None = None) -> Sequence[WorkingOrder]:
        """Return our live orders in the order's account, of one instrument or of all."""

    def unknown_count(self) -> int:
        """Return how many orders are UNKNOWN."""

    def recent(self, seconds: float) -> Sequence[tuple[float, Order]]:
        """Return (monotonic time, order) of what was let through lately, oldest first.

        Reaches back ten minutes at most.
        """

    def account_value(self, name: str) -> Decimal | None:
        """Return a figure of the order's account, e.g. "NetLiquidation"; None where unknown."""

    def reduces(self, order: Order) -> bool:
        """Return whether ``order`` is proven to reduce risk.

        An UNKNOWN or working exit counts as possibly filled, so that two exits cannot flip the
        position.
        """


class OrderStage(Protocol):
    """A synchronous check on the way of every order.

    All stages of an order and the reservation of its exposure run without an await in between,
    so limits hold at every instant. A stage that raises or overruns its budget denies.
    """

    @property
    def name(self) -> str:
        """Its unique name."""

    @property
    def phase(self) -> StagePhase:
        """When it runs."""

    def check(self, order: Order, view: OrderView) -> Decision:
        """Allow or deny; no I/O, no waiting."""


# --- monitoring ---------------------------------------------------------------------------------


class MetricSource(Protocol):
    """Measures something each time it is asked.

    What it did not measure it leaves out.
    """

    @property
    def name(self) -> str:
        """Its unique name."""

    @property
    def period(self) -> float:
        """How often it wants to be asked, in seconds; costly sources say more than 1."""

    def collect(self, now: float) -> Iterable[Sample]:
        """Return samples as of monotonic ``now``."""


@attrs.frozen
class Batch:
    """The samples of one tick. (tenant, node, time) name it: storing it twice stores it once."""

    tenant: str
    node: str
    agent: str
    incarnation: str
    time: datetime
    samples: Mapping[SeriesId, float]


class MetricStore(Protocol):
    """Keeps batches, and gives back series. Calls may come from any thread."""

    def append(self, batch: Batch) -> None:
        """Take a batch. Returns before it is on disk; when full, drops the oldest and counts it."""

    def flush(self) -> None:
        """Return once everything taken is on disk, or raise StoreError."""

    def series(self) -> Sequence[SeriesId]:
        """Return all series ever stored."""

    def read(
        self, series: SeriesId, start: datetime | None = None, end: datetime | None = None
    ) -> Sequence[tuple[datetime, float]]:
        """Return the samples of one series with start <= time < end, in rising time."""

    def batches(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> Iterator[Batch]:
        """Yield whole batches in rising time."""

    def save_alert(self, alert: Alert) -> None:
        """Keep the newest state of an alert, by its id."""

    def alerts(self) -> Sequence[Alert]:
        """Return all alerts kept, oldest first."""

    def save_findings(self, time: datetime, findings: Sequence[Finding]) -> None:
        """Keep the findings of one analysis cycle."""

    def findings(self, cycle: datetime | None = None) -> Sequence[Finding]:
        """Return the findings of the given cycle, or of the newest."""

    def close(self) -> None:
        """Flush and end. Safe to call twice."""


class MetricView(Protocol):
    """What an alert rule may look at."""

    @property
    def now(self) -> float:
        """Monotonic seconds of this tick."""

    @property
    def time(self) -> datetime:
        """Wall-clock time of this tick, aware UTC."""

    def latest(self, component: str, metric: str) -> Mapping[SeriesId, float]:
        """Return this tick's samples of a metric, over all labels; empty where none."""

    def window(self, series: SeriesId, seconds: float) -> Sequence[tuple[float, float]]:
        """Return (monotonic time, value) of the last ``seconds``, at most an hour, oldest first."""

    def increase(self, component: str, metric: str, seconds: float) -> float | None:
        """Return by how much a counter grew, summed over labels; None where it has no samples."""

    def quantile(
        self, component: str, metric: str, share: float, seconds: float
    ) -> tuple[float, int] | None:
        """Return (quantile, count) of a timer, all labels merged; None where it has nothing."""


class AlertRule(Protocol):
    """Reads the metrics each tick. The engine turns readings into alerts."""

    @property
    def name(self) -> str:
        """Its unique name, e.g. trading_error_rate_high."""

    @property
    def severity(self) -> Severity:
        """How soon a person must look."""

    @property
    def unit(self) -> str:
        """The unit of the value and of the thresholds."""

    @property
    def for_seconds(self) -> float:
        """How long the condition must hold before it fires."""

    @property
    def keep_firing_for(self) -> float:
        """How long it must be clear before it resolves."""

    @property
    def runbook(self) -> str:
        """Where a person reads what to do."""

    def read(self, view: MetricView) -> Iterable[Reading]:
        """Return one reading for each subject; NO_DATA is a reading too."""


class Notifier(Protocol):
    """Tells a person about an alert. Called outside the order path; may fail and is retried."""

    @property
    def name(self) -> str:
        """Its unique name."""

    async def notify(self, alert: Alert) -> None:
        """Deliver one change of state, or raise."""


# --- analysis -----------------------------------------------------------------------------------


@attrs.frozen
class Frame:
    """Metric history as an analyzer gets it, in buffers.

    ``times`` holds Unix seconds, rising; ``values`` one float64 buffer for each series, as long
    as ``times``, NaN = absent. ``step`` is the nominal distance in seconds.
    """

    times: memoryview
    series: tuple[SeriesId, ...]
    values: tuple[memoryview, ...]
    step: float


class Analyzer(Protocol):
    """A method of analysis. Runs in a worker process, may be late, must not keep state."""

    @property
    def name(self) -> str:
        """Its unique name."""

    def analyze(self, frame: Frame) -> Sequence[Finding]:
        """Return what it found; "too short to tell" is a finding too."""


# --- reports ------------------------------------------------------------------------------------


@attrs.frozen
class ReportRequest:
    """What a reporter reads from and writes to.

    ``metrics`` and ``journal`` are paths of the two databases; ``settings`` the effective
    settings, secrets hidden.
    """

    out: Path
    metrics: Path
    journal: Path
    settings: Mapping[str, Any]


class Reporter(Protocol):
    """Writes something a person or a program reads, from the two databases alone."""

    @property
    def name(self) -> str:
        """Its unique name."""

    def write(self, request: ReportRequest) -> Sequence[Path]:
        """Write, and return what was written."""


# --- seams for more than one machine ------------------------------------------------------------


@runtime_checkable
class Leadership(Protocol):
    """Grants periodic work to one process of several. Embedded: always granted."""

    async def lease(self, name: str) -> bool:
        """Return whether this process may do the named work now."""
