"""The Broker port over TWS or IB Gateway."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from alluse_core.errors import BrokerUnavailable, NotSent
from alluse_core.model import (
    AccountMode,
    AccountValue,
    Bar,
    BrokerNotice,
    Execution,
    Instrument,
    InstrumentDefinition,
    LinkState,
    OptionParameters,
    OrderIdentity,
    OrderReport,
    Position,
    Quote,
    Snapshot,
)
from alluse_core.ports import (
    BrokerCapabilities,
    Check,
    Inquiry,
    OpenLine,
    OrderMessage,
    QuoteSink,
    Subscription,
)
from alluse_core.providers import Context
from alluse_ibkr import accounts
from alluse_ibkr.calendar import Calendar
from alluse_ibkr.chains import ChainDesk
from alluse_ibkr.client import REQUEST_IDS_FROM, load
from alluse_ibkr.client_ids import ClientIdLocks
from alluse_ibkr.clock_skew import ClockSkew
from alluse_ibkr.connection import Connection, RoleEvents, Surroundings
from alluse_ibkr.contracts import ContractBook
from alluse_ibkr.endpoint import Endpoint
from alluse_ibkr.evidence import EvidenceDesk
from alluse_ibkr.history import HistoryDesk
from alluse_ibkr.lines import LineDesk
from alluse_ibkr.lookup import Lookup
from alluse_ibkr.order_desk import OrderDesk
from alluse_ibkr.pool import Pool
from alluse_ibkr.settings import IbkrSettings
from alluse_ibkr.windows import windows_of

T = TypeVar("T")

_MESSAGES_PER_SECOND = 50.0
_SNAPSHOT_SECONDS = 11.0


class IbkrBroker:
    """One login: an order connection with a fixed client id, and data connections beside it."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        assert isinstance(settings, IbkrSettings)
        self._context = context
        self._settings = settings
        self._capabilities = BrokerCapabilities(
            messages_per_second=_MESSAGES_PER_SECOND,
            quote_lines=settings.max_lines,
            snapshot_batch=1,
            snapshot_seconds=_SNAPSHOT_SECONDS,
            streams=True,
            numeric_order_ids=True,
            historical_bars=True,
        )
        self._pool: Pool | None = None
        self._calendar: asyncio.Task[None] | None = None
        self._order_desk: OrderDesk | None = None
        self._line_desk: LineDesk | None = None
        self._lookup: Lookup | None = None
        self._chains: ChainDesk | None = None
        self._evidence: EvidenceDesk | None = None

    @property
    def name(self) -> str:
        """The name under which the settings know this broker."""
        return self._context.name

    @property
    def capabilities(self) -> BrokerCapabilities:
        """What IBKR allows; 50 messages a second are taken to be shared by all connections."""
        return self._capabilities

    # --- up and down -----------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect both roles, or raise BrokerUnavailable and leave nothing behind."""
        if self._orders is not None:
            raise BrokerUnavailable(f"{self.name} is connected already", hint="close it first")
        self._build()
        assert self._pool is not None
        try:
            await self._pool.open()
            self._calendar = asyncio.ensure_future(self._look_at_the_clock())
        except BaseException:
            await self.close()
            raise

    def _build(self) -> None:
        context, settings = self._context, self._settings
        library = load(settings.library)
        book = ContractBook(
            library,
            context.state_dir / "contracts.json",
            lambda: context.clock.now().date(),
            lambda text: orders.emit(BrokerNotice(self.name, 0, text)),
        )
        clock, registry = context.clock, context.telemetry
        skew = ClockSkew()
        registry.observe("broker", "clock_skew_ms", skew.milliseconds, "ms", broker=self.name)
        registry.observe(
            "broker", "clock_skew_resolution_ms", skew.resolution, "ms", broker=self.name
        )
        data = LineDesk(
            self.name,
            settings,
            book,
            clock,
            context.pacer,
            registry,
            lambda item: orders.emit(item),
            context.classify,
        )
        orders = OrderDesk(
            self.name,
            library,
            book,
            context.evidence,
            registry,
            classify=context.classify,
            read_only=settings.read_only,
            data_lost=data.resubscribe,
        )
        # What a former connection has seen still holds: no id of it may be used again.
        orders.floor = self.order_id_floor
        folder = Path(settings.client_id_dir or context.state_dir / "client-ids")
        around = Surroundings(
            library,
            settings,
            clock,
            context.pacer,
            skew,
            ClientIdLocks(folder, settings.host, settings.port),
            itertools.count(REQUEST_IDS_FROM),
            Endpoint(settings.host, settings.port),
            context.classify,
        )
        events = RoleEvents(
            up=lambda: orders.turn(LinkState.UP, "connected"),
            down=lambda reason: orders.turn(LinkState.DOWN, reason),
            undecodable=orders.on_undecodable,
        )
        pool = self._pool = Pool(self.name, around, registry, orders, events, data)
        orders.connection = pool.orders
        self._order_desk, self._line_desk = orders, data
        self._evidence = EvidenceDesk(self.name, library, pool.orders, book, orders)
        history = HistoryDesk(self.name, pool.history, book, clock, registry, context.classify)
        self._lookup = Lookup(
            self.name,
            pool.route,
            book,
            data,
            clock,
            pool.contracts,
            history,
            context.classify,
        )
        self._chains = ChainDesk(library, pool.contracts, book, self._lookup)

    async def close(self) -> None:
        """End all connections. Orders at the broker stay as they are."""
        calendar, self._calendar = self._calendar, None
        if calendar is not None:
            calendar.cancel()
            await asyncio.gather(calendar, return_exceptions=True)
        if self._line_desk is not None and self._lookup is not None:
            await self._lookup.close()
            await self._line_desk.close()
        if self._pool is not None:
            await self._pool.close()
        self._pool = self._line_desk = self._lookup = self._evidence = None
        self._chains = None

    async def _look_at_the_clock(self) -> None:
        assert self._order_desk is not None
        settings, orders = self._settings, self._order_desk
        calendar = Calendar(
            self.name,
            self._context.clock,
            windows_of(settings.region, settings.restart_at),
            self._context.telemetry,
            orders.gate,
            lambda: orders.works,
        )
        await calendar.run()

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All connections of this login, that of the orders first, then that of the data."""
        return tuple(self._pool) if self._pool is not None else ()

    @property
    def _orders(self) -> Connection | None:
        return self._pool.orders if self._pool is not None else None

    @property
    def _data(self) -> Connection | None:
        return self._pool.data if self._pool is not None else None

    @property
    def link(self) -> LinkState:
        """The state of the order path now."""
        if self._orders is None or self._order_desk is None:
            return LinkState.DOWN
        if self._orders.ready:
            return self._order_desk.link
        return LinkState.CONNECTING if self._orders.connecting else LinkState.DOWN

    @property
    def accounts(self) -> Sequence[str]:
        """The accounts this login may trade; only the setting's, where it names one."""
        if self._orders is None:
            return ()
        wanted = self._settings.account
        return (wanted,) if wanted and self._orders.accounts else self._orders.accounts

    def account_mode(self, account: str) -> AccountMode:
        """Judge by the account's name."""
        return accounts.account_mode(account)

    @property
    def client_id(self) -> int:
        """The client id of the order role, which never changes."""
        return self._settings.client_id

    @property
    def order_id_floor(self) -> int:
        """No order id below this one may be used: the broker's number, and every id seen + 1."""
        return self._order_desk.floor if self._order_desk is not None else 0

    # --- examination -----------------------------------------------------------------------

    async def examine(self, inquiry: Inquiry) -> AsyncIterator[Check]:
        """Yield what of this login costs money; see ports.Examinable. Not while connected."""
        from alluse_ibkr.examination import Examination

        async for check in Examination(self._context, inquiry).checks():
            yield check

    # --- orders ----------------------------------------------------------------------------

    def place(self, messages: Sequence[OrderMessage]) -> None:
        """Send the orders of one intent, contiguously."""
        self._desk().place(messages)

    def modify(self, message: OrderMessage, identity: OrderIdentity) -> None:
        """Replace the terms of a live order."""
        self._desk().modify(message, identity)

    def cancel(self, identity: OrderIdentity) -> None:
        """Ask for a cancel."""
        self._desk().cancel(identity)

    def _desk(self) -> OrderDesk:
        if self._order_desk is None:
            raise NotSent(f"{self.name} was never connected", hint="connect it first")
        return self._order_desk

    # --- evidence --------------------------------------------------------------------------

    async def open_orders(self) -> Snapshot[OrderReport]:
        """Return all open orders of the login, those of other clients and of people included."""
        return self._snapshot(await self._asking().open_orders())

    async def completed_orders(self) -> Snapshot[OrderReport]:
        """Return orders that ended today."""
        return self._snapshot(await self._asking().completed_orders())

    async def executions(self) -> Snapshot[Execution]:
        """Return fills since midnight. Their commissions are sent to the evidence sink."""
        return self._snapshot(await self._asking().executions())

    async def positions(self) -> Snapshot[Position]:
        """Return what all accounts hold."""
        rows = await self._asking().positions()
        return self._snapshot(tuple(row for row in rows if self._ours(row.account)))

    async def account_values(self) -> Snapshot[AccountValue]:
        """Return the accounts' figures under IBKR's tags; those that are not numbers left out."""
        rows = await self._asking().account_values()
        return self._snapshot(tuple(row for row in rows if self._ours(row.account)))

    def _ours(self, account: str) -> bool:
        return not self._settings.account or account == self._settings.account

    def _snapshot(self, rows: tuple[T, ...]) -> Snapshot[T]:
        return Snapshot(rows, self._context.clock.now(), complete=True)

    def _asking(self) -> EvidenceDesk:
        if self._evidence is None:
            raise self._never_connected()
        return self._evidence

    def _never_connected(self) -> BrokerUnavailable:
        return BrokerUnavailable(f"{self.name} is not connected", hint="connect it first")

    # --- data ------------------------------------------------------------------------------

    async def define(self, instrument: Instrument) -> InstrumentDefinition:
        """Return what the broker knows of an instrument. Answers are kept."""
        return await self._asking_data().define(instrument)

    async def snapshots(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Quote]:
        """Return one quote each; never by regulatory snapshots, which cost money."""
        return await self._asking_data().snapshots(instruments)

    def subscribe(self, instrument: Instrument, sink: QuoteSink) -> Subscription:
        """Stream quotes into ``sink``; survives reconnects."""
        if self._line_desk is None:
            raise self._never_connected()
        return self._line_desk.subscribe(instrument, sink)

    @property
    def free_lines(self) -> int:
        """How many more instruments could stream now."""
        return self._line_desk.free_lines if self._line_desk is not None else 0

    @property
    def data_up(self) -> bool:
        """Whether quotes can come in now."""
        return self._line_desk is not None and self._line_desk.data_up

    async def open_line(self, instrument: Instrument, sink: QuoteSink) -> OpenLine:
        """Stream quotes into ``sink``; return once the request has left."""
        if self._line_desk is None:
            raise self._never_connected()
        return await self._line_desk.open_line(instrument, sink)

    async def option_parameters(self, underlying: Instrument) -> Sequence[OptionParameters]:
        """Return the classes of options on ``underlying``, one for each exchange."""
        return await self._asking_chains().parameters(underlying)

    def options_known(self, parameters: OptionParameters, expiry: date) -> bool:
        """Return whether an expiry's options were told today, in this run or one before."""
        return self._chains is not None and self._chains.known(parameters, expiry)

    async def options(self, parameters: OptionParameters, expiry: date) -> Sequence[Instrument]:
        """Return what is listed of a class for one expiry, with one question a day."""
        return await self._asking_chains().options(parameters, expiry)

    def _asking_chains(self) -> ChainDesk:
        if self._chains is None:
            raise self._never_connected()
        return self._chains

    async def bars(
        self, instrument: Instrument, end: datetime | None, duration: timedelta, size: timedelta
    ) -> Sequence[Bar]:
        """Return historical bars in rising time; ``end`` None means now."""
        return await self._asking_data().bars(instrument, end, duration, size)

    def _asking_data(self) -> Lookup:
        if self._lookup is None:
            raise self._never_connected()
        return self._lookup

    async def probe(self) -> float:
        """Ask the order connection for a sign of life; return the round trip in seconds."""
        if self._orders is None:
            raise self._never_connected()
        return await self._orders.probe()
