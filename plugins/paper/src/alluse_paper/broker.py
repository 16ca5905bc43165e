"""A broker in this process: the simulated exchange behind the core's Broker port."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from alluse_core.errors import (
    AllUseError,
    BrokerUnavailable,
    NotSent,
    RequestFailed,
)
from alluse_core.model import OptionParameters
from alluse_core.model.account import AccountMode, AccountValue, Position, Snapshot
from alluse_core.model.instrument import Instrument, InstrumentDefinition
from alluse_core.model.order import (
    BrokerNotice,
    Execution,
    LinkReport,
    LinkState,
    OrderIdentity,
    OrderReport,
)
from alluse_core.model.quote import Bar, Quote
from alluse_core.ports import (
    BrokerCapabilities,
    OpenLine,
    OrderMessage,
    Priority,
    QuoteSink,
    Subscription,
)
from alluse_core.providers import Context
from alluse_paper.chains import listed_on, parameters_of
from alluse_paper.definitions import definition_of, sole_listing
from alluse_paper.evidence import (
    NOT_FOUND_CODE,
    Tag,
    commission_of,
    evidence_of,
    execution_of,
    identity_of,
    report_of,
    values_of,
)
from alluse_paper.exchange import Exchange
from alluse_paper.feed import Feed
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing, Market
from alluse_paper.orders import ExchangeEvent, NewOrder, OcaRule
from alluse_paper.player import Player
from alluse_paper.recording import Recording
from alluse_paper.settings import PaperSettings
from alluse_paper.synthetic import SyntheticMarket

T = TypeVar("T")

_CAPABILITIES = BrokerCapabilities(
    messages_per_second=0.0,
    quote_lines=10_000,
    snapshot_batch=1_000,
    snapshot_seconds=1.0,
    streams=True,
    numeric_order_ids=True,
    historical_bars=False,
)
_SNAPSHOT_POLL = 0.02
_SNAPSHOT_LOOKS = 1 + round(_CAPABILITIES.snapshot_seconds / _SNAPSHOT_POLL)


class PaperBroker:
    """See :class:`alluse_core.ports.Broker`, which it implements.

    The exchange lives as long as the connection: orders and positions end with ``close``.
    """

    def __init__(self, context: Context) -> None:
        assert isinstance(context.settings, PaperSettings)
        self.name = context.name
        self.capabilities = _CAPABILITIES
        self._context = context
        self._settings = context.settings
        self._clock = context.clock
        self._exchange: Exchange | None = None
        self._feed: Feed | None = None
        self._player: Player | None = None
        self._playing: asyncio.Task[None] | None = None
        self._played_until = float("nan")
        self._link = LinkState.DOWN
        self._numbers: dict[int, int] = {}
        self._references: dict[str, int] = {}
        self._highest_id = 0

    # --- the connection -----------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the market and the exchange, and start playing.

        Raises RecordingError where the recording of the settings cannot be read.
        """
        if self._exchange is not None:
            return
        self._report_link(LinkState.CONNECTING)
        try:
            market, listings = await asyncio.to_thread(self._open_market)
        except AllUseError:
            self._report_link(LinkState.DOWN, "the market cannot be opened")
            raise
        settings = self._settings
        model = FillModel(
            latency_ms=settings.latency_ms,
            queue=settings.queue,
            enforce_hours=settings.enforce_hours,
        )
        exchange = Exchange(
            self._clock,
            listings,
            accounts=settings.accounts,
            fill_model=model,
            seed=settings.seed,
            deposit=Decimal(settings.deposit),
        )
        exchange.listen(self._on_exchange)
        self._exchange = exchange
        self._feed = Feed(self.name, self._clock, exchange, self._alive_at)
        self._player = Player(market, exchange, self._clock, settings.speed)
        self._playing = asyncio.create_task(self._player.run())
        self._playing.add_done_callback(self._play_ended)
        self._count()
        self._report_link(LinkState.UP)

    async def close(self) -> None:
        """End the market, the exchange and everything on it. Safe to call twice."""
        exchange, self._exchange = self._exchange, None
        playing, self._playing = self._playing, None
        if self._feed is not None:
            self._feed.close()
        if playing is not None:
            playing.cancel()
            await asyncio.wait((playing,))
        if exchange is not None:
            exchange.close()
            self._report_link(LinkState.DOWN, "closed")

    @property
    def exchange(self) -> Exchange:
        """The exchange itself, to halt instruments or read its books. Raises BrokerUnavailable."""
        if self._exchange is None:
            raise BrokerUnavailable(
                f"the paper broker {self.name!r} is not connected", hint="await connect() first"
            )
        return self._exchange

    @property
    def player(self) -> Player | None:
        """What drives the market; None before ``connect``."""
        return self._player

    @property
    def link(self) -> LinkState:
        """UP while connected; DEGRADED after the market could not be read on."""
        return self._link

    @property
    def accounts(self) -> Sequence[str]:
        """The accounts of the settings, once connected."""
        return self._settings.accounts if self._exchange is not None else ()

    def account_mode(self, account: str) -> AccountMode:
        """PAPER for the simulated accounts, UNKNOWN for any other."""
        known = account in self._settings.accounts
        return AccountMode.PAPER if known else AccountMode.UNKNOWN

    @property
    def client_id(self) -> int:
        """The client id of the settings."""
        return self._settings.client_id

    @property
    def order_id_floor(self) -> int:
        """One above the highest order id seen."""
        return self._highest_id + 1

    async def probe(self) -> float:
        """Send a message to the exchange and back; return the seconds it took."""
        returned = asyncio.Event()
        sent = self._clock.monotonic()
        self.exchange.ping(returned.set)
        await returned.wait()
        return self._clock.monotonic() - sent

    # --- orders -------------------------------------------------------------------------------

    def place(self, messages: Sequence[OrderMessage]) -> None:
        """Send the orders of one intent. Raises NotSent while not connected."""
        exchange = self._connected()
        parents = {message.parent_order_id for message in messages} - {0}
        for message in messages:
            tied = message.parent_order_id or message.order_id in parents
            placed = exchange.place(self._new_order(message, transmit=message.transmit or not tied))
            self._references[message.order_ref] = placed.number
            if message.order_id:
                self._numbers[message.order_id] = placed.number
                self._highest_id = max(self._highest_id, message.order_id)

    def modify(self, message: OrderMessage, identity: OrderIdentity) -> None:
        """Send new terms for a live order. Raises NotSent while not connected."""
        exchange = self._connected()
        number = self._find(identity)
        if number is None:
            self._not_found(identity)
            return
        order = message.order
        exchange.replace(
            number,
            quantity=order.quantity,
            limit_price=order.limit_price,
            stop_price=order.stop_price,
            time_in_force=order.time_in_force,
            good_till=order.good_till,
            outside_rth=order.outside_rth,
        )

    def cancel(self, identity: OrderIdentity) -> None:
        """Send a cancel. Raises NotSent while not connected."""
        exchange = self._connected()
        number = self._find(identity)
        if number is None:
            self._not_found(identity)
        else:
            exchange.cancel(number)

    async def open_orders(self) -> Snapshot[OrderReport]:
        """Return every order that has not ended."""
        exchange = await self._turn()
        return self._snapshot(report_of(self.name, order) for order in exchange.open_orders())

    async def completed_orders(self) -> Snapshot[OrderReport]:
        """Return the orders that ended on this UTC day."""
        exchange = await self._turn()
        return self._snapshot(report_of(self.name, order) for order in exchange.completed_orders())

    async def executions(self) -> Snapshot[Execution]:
        """Return the fills of this UTC day; their commissions go to the sink."""
        exchange = await self._turn()
        rows = []
        for fill in exchange.executions():
            identity = identity_of(exchange.order(fill.number))
            rows.append(execution_of(self.name, fill, identity))
            self._context.evidence(commission_of(self.name, fill))
        return self._snapshot(rows)

    async def positions(self) -> Snapshot[Position]:
        """Return what the accounts hold; flat positions are left out."""
        exchange = await self._turn()
        return self._snapshot(
            Position(self.name, account, each.instrument, each.quantity, each.average_cost)
            for account in exchange.accounts.names
            for each in exchange.accounts.positions(account)
        )

    async def account_values(self) -> Snapshot[AccountValue]:
        """Return the accounts' figures at the present marks, under IBKR's names."""
        exchange = await self._turn()
        rows = []
        for account in exchange.accounts.names:
            rows += values_of(self.name, account, exchange.accounts.figures(account))
        return self._snapshot(rows)

    # --- market data --------------------------------------------------------------------------

    async def define(self, instrument: Instrument) -> InstrumentDefinition:
        """Return the listing. Raises InstrumentNotFound or AmbiguousInstrument."""
        exchange = await self._turn()
        listing = sole_listing(exchange, instrument)
        return definition_of(listing, instrument)

    async def snapshots(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Quote]:
        """Return the present quotes, waiting a little for those not shown yet."""
        await self._turn()
        found: dict[Instrument, Quote] = {}
        # Looks are counted, not seconds: a process that was paused held its market up as well,
        # and a deadline that passed meanwhile would end the wait before the market had its turn.
        for _ in range(_SNAPSHOT_LOOKS):
            found = {each: quote for each in instruments if (quote := self._quote(each))}
            if all(each in found or not self._lists(each) for each in instruments):
                break
            await self._clock.sleep(_SNAPSHOT_POLL)
        return found

    def subscribe(self, instrument: Instrument, sink: QuoteSink) -> Subscription:
        """Stream quotes. Raises InstrumentNotFound, or BrokerUnavailable while not connected."""
        feed = self._feed
        if feed is None or self._exchange is None:
            raise BrokerUnavailable(f"the paper broker {self.name!r} is not connected")
        return feed.subscribe(instrument, sink)

    @property
    def free_lines(self) -> int:
        """As many as there are: streams are not counted here."""
        return self.capabilities.quote_lines

    @property
    def data_up(self) -> bool:
        """Whether the market is being played."""
        return self._playing is not None and not self._playing.done()

    async def open_line(self, instrument: Instrument, sink: QuoteSink) -> OpenLine:
        """Stream quotes, as ``subscribe`` does."""
        if self._feed is None:
            raise BrokerUnavailable(f"the paper broker {self.name!r} is not connected")
        return self._feed.subscribe(instrument, sink)

    async def option_parameters(self, underlying: Instrument) -> Sequence[OptionParameters]:
        """Return the classes of options on ``underlying``. Raises InstrumentNotFound."""
        exchange = await self._turn()
        sole_listing(exchange, underlying)
        return parameters_of(exchange, underlying)

    def options_known(self, parameters: OptionParameters, expiry: date) -> bool:
        """True: the listings are in this process."""
        return True

    async def options(self, parameters: OptionParameters, expiry: date) -> Sequence[Instrument]:
        """Return what is listed of a class for one expiry."""
        return listed_on(self.exchange, parameters, expiry)

    async def bars(
        self, instrument: Instrument, end: datetime | None, duration: timedelta, size: timedelta
    ) -> Sequence[Bar]:
        """Raise RequestFailed: the simulated exchange keeps no history."""
        raise RequestFailed(
            "the simulated exchange keeps no historical bars",
            hint="read them from the recording, or ask a broker that has them",
        )

    # --- inside -------------------------------------------------------------------------------

    def _open_market(self) -> tuple[Market, tuple[Listing, ...]]:
        settings = self._settings
        market: Market
        if settings.replay:
            market = Recording(Path(settings.replay).expanduser())
        else:
            market = SyntheticMarket(
                settings.seed, settings.symbols, self._clock.now(), chains=settings.chains
            )
        return market, market.listings()

    def _new_order(self, message: OrderMessage, *, transmit: bool) -> NewOrder:
        order = message.order
        parent = message.parent_order_id
        return NewOrder(
            account=order.account or self._settings.accounts[0],
            instrument=order.instrument,
            side=order.side,
            quantity=order.quantity,
            order_type=order.order_type,
            limit_price=order.limit_price,
            stop_price=order.stop_price,
            time_in_force=order.time_in_force,
            outside_rth=order.outside_rth,
            good_till=order.good_till,
            oca_group=message.oca_group,
            oca_rule=OcaRule.REDUCE if message.oca_reduces else OcaRule.CANCEL,
            # An unknown parent is for the exchange to reject, not to be dropped here.
            parent=self._numbers.get(parent, parent) if parent else None,
            transmit=transmit,
            client_tag=Tag(message.order_ref, message.order_id, self.client_id),
        )

    def _connected(self) -> Exchange:
        if self._exchange is None:
            raise NotSent(f"the paper broker {self.name!r} is not connected")
        return self._exchange

    async def _turn(self) -> Exchange:
        exchange = self.exchange
        await self._context.pacer.turn(Priority.DATA)
        return exchange

    def _find(self, identity: OrderIdentity) -> int | None:
        if identity.perm_id:
            number: int | None = identity.perm_id
        elif identity.order_id and identity.client_id in (0, self.client_id):
            number = self._numbers.get(identity.order_id)
        else:
            number = self._references.get(identity.order_ref)
        if number is None or not self._connected().knows(number):
            return None
        return number

    def _not_found(self, identity: OrderIdentity) -> None:
        text = f"the order {identity.order_ref or identity.order_id} is not known"
        notice = BrokerNotice(self.name, NOT_FOUND_CODE, text, identity)
        self._connected().ping(lambda: self._context.evidence(notice))

    def _on_exchange(self, event: ExchangeEvent) -> None:
        for evidence in evidence_of(self.name, event):
            self._context.evidence(evidence)

    def _quote(self, instrument: Instrument) -> Quote | None:
        return self._feed.quote(instrument) if self._feed is not None else None

    def _lists(self, instrument: Instrument) -> bool:
        return self.exchange.top(instrument) is not None

    def _alive_at(self) -> float:
        if self._playing is not None and not self._playing.done():
            self._played_until = self._clock.monotonic()
        return self._played_until

    def _play_ended(self, task: asyncio.Task[None]) -> None:
        self._played_until = self._clock.monotonic()
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._report_link(LinkState.DEGRADED, f"the market has stopped: {error}")

    def _report_link(self, state: LinkState, reason: str = "") -> None:
        self._link = state
        self._context.evidence(LinkReport(self.name, state, reason))

    def _count(self) -> None:
        player = self._player
        assert player is not None
        observe = self._context.telemetry.observe
        progress = player.progress
        observe("paper", "events", lambda: progress.events, broker=self.name)
        observe("paper", "lag", lambda: progress.lag_seconds * 1000, "ms", broker=self.name)

    def _snapshot(self, rows: Iterable[T]) -> Snapshot[T]:
        return Snapshot(tuple(rows), self._clock.now(), True)
