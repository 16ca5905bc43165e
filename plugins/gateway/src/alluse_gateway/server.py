"""The simulated gateway: listens, keeps the sessions, and leads requests to the desks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from alluse_paper.exchange import Exchange
from alluse_paper.margin_call import margin_calls
from alluse_paper.market import Market, RemembersPast
from alluse_paper.player import Player

from alluse_core.clock import Clock, SystemClock
from alluse_core.errors import BrokerError, InvalidValue, StateError
from alluse_gateway import handshake, notices, wire
from alluse_gateway import requests as r
from alluse_gateway.answers import system
from alluse_gateway.control import Control
from alluse_gateway.desks import DeskOptions, Desks
from alluse_gateway.faults import Faults
from alluse_gateway.ledger import Ledger
from alluse_gateway.market_data import LINES
from alluse_gateway.order_faults import READ_ONLY
from alluse_gateway.ports import Ports
from alluse_gateway.routes import NEEDS_LINK, routes
from alluse_gateway.scenario import Scenario, find
from alluse_gateway.scenario_player import ScenarioPlayer
from alluse_gateway.session import Session
from alluse_gateway.state import State

if TYPE_CHECKING:
    pass

RATE_LIMIT = 50


class SimulatedGateway:
    """An IB Gateway that is not one: TWS's protocol over a simulated exchange.

    Give an ``exchange``, or a ``market`` that is played at ``speed`` into an exchange of its own,
    or both: the market is then played into that exchange.
    ``port`` 0 takes a free one; ``version`` is the highest server version it speaks (157..226).
    ``sampling`` overrides the seconds between two ticks of a line, 0 passes every change on.
    ``rate_limit`` 0 lifts the limit on messages; ``active_orders`` sets one on living orders of a
    contract, side and account (IBKR: 20). ``forced_liquidation`` closes positions of an account
    whose excess liquidity is below zero, where the exchange checks margins. ``state`` is a folder
    in which orders, ids, executions and accounts outlive this gateway. ``accounts`` are those of
    an exchange of its own; one of several (an advisor's begins with F or DF) must be named by
    every order. ``scenario`` is
    played from the first client's start on, or as it says: one that is shipped, by name, or a
    file's, or one made by hand; its times and durations are multiplied by ``time_scale``.
    ``history_seconds`` is how long an answer with bars takes; ``history_pacing`` False lifts
    IBKR's rules of how often they may be asked for; :class:`MarketDesk` tells of ``delayed``,
    ``snapshot_seconds`` and ``regulatory_snapshots``. Use it as an async context manager;
    ``port``, ``control_port``, ``control`` and ``ledger`` are valid inside. Raises PortInUse, and
    StateError for a folder that cannot be used.
    """

    def __init__(
        self,
        exchange: Exchange | None = None,
        *,
        market: Market | None = None,
        port: int = 0,
        control_port: int | None = None,
        clock: Clock | None = None,
        speed: float = 1.0,
        seed: int = 0,
        rate_limit: int = RATE_LIMIT,
        version: int = handshake.MAX_VERSION,
        sampling: float | None = None,
        lines: int = LINES,
        entitled: bool = True,
        ledger_path: Path | None = None,
        ledger_keep: int | None = None,
        max_frame: int = wire.MAX_FRAME,
        strict_order_ids: bool = True,
        master_client_id: int | None = None,
        active_orders: int = 0,
        forced_liquidation: bool = True,
        state: Path | None = None,
        accounts: Sequence[str] = ("DU1000001",),
        scenario: str | Path | Scenario | None = None,
        time_scale: float = 1.0,
        delayed: bool = True,
        snapshot_seconds: float = 0.0,
        regulatory_snapshots: bool = False,
        history_seconds: float = 0.0,
        history_pacing: bool = True,
    ) -> None:
        if not handshake.MIN_VERSION <= version <= handshake.MAX_VERSION:
            raise InvalidValue(
                f"version is {handshake.MIN_VERSION}..{handshake.MAX_VERSION}, not {version}"
            )
        self.clock: Clock = clock or SystemClock()
        if exchange is None:
            if market is None:
                raise InvalidValue("give an exchange, a market, or both")
            exchange = Exchange(self.clock, market.listings(), accounts=accounts, seed=seed)
        self.exchange = exchange
        self.player = Player(market, exchange, self.clock, speed) if market is not None else None
        self.faults = Faults()
        self.ledger = Ledger(self.clock, ledger_path, ledger_keep)
        self.own_version = version
        self.rate_limit = rate_limit
        self.max_frame = max_frame
        self.forced_liquidation = forced_liquidation and exchange.fill_model.check_margin
        self.control = Control(self)
        self._ports = Ports(port, control_port, self.new_session, self.control, self.ledger)
        # A dict, not a set: whom a fault strikes first must not depend on addresses in memory.
        self.sessions: dict[Session, None] = {}
        self._clients: dict[int, Session] = {}
        self._connections = 0
        self._deferred: deque[tuple[Session, r.Request]] = deque()
        self._tasks: list[asyncio.Task[Any]] = []
        self._playing: asyncio.Task[Any] | None = None
        self._unlisten: list[Callable[[], None]] = []
        past = market.past() if isinstance(market, RemembersPast) else None
        options = DeskOptions(
            sampling=sampling,
            lines=lines,
            entitled=entitled,
            delayed=delayed,
            snapshot_seconds=snapshot_seconds,
            regulatory_snapshots=regulatory_snapshots,
            strict_order_ids=strict_order_ids,
            master_client_id=master_client_id,
            active_orders=active_orders,
            history_seconds=history_seconds,
            history_pacing=history_pacing,
        )
        self.desks = Desks(
            self.clock, exchange, self.faults, self.ledger, past, self._clients.values, options
        )
        self._folder = state
        self._state: State | None = None
        self._failure: StateError | None = None
        self._broken = asyncio.Event()
        self.ledger.broke = self._break
        self._routes = routes(self)
        self.scenario: ScenarioPlayer | None = None
        if scenario is not None:
            script = scenario if isinstance(scenario, Scenario) else find(scenario)
            self.scenario = ScenarioPlayer(self, script, time_scale)

    # --- life -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, and play the market and the scenario if there is one to play."""
        if self._folder is not None:
            self._remember(self._folder)
        if self.scenario is not None:
            self.scenario.start()
        try:
            await self.start_listening()
            await self._ports.open_control()
        except BrokerError:
            await self.stop()
            raise
        self._unlisten = [
            self.exchange.listen(self.desks.orders.on_event),
            self.exchange.market_listen(self.desks.on_market),
        ]
        self._tasks.append(asyncio.create_task(self._each_second()))
        if self.player is not None:
            self._playing = asyncio.create_task(self.player.run())
            self._tasks.append(self._playing)

    def _remember(self, folder: Path) -> None:
        state = State(folder, self.clock, self.exchange, self.desks.contracts, self._break)
        try:
            state.load(self.desks.orders.book, self.ledger, self.desks.questions.midnight())
        except BaseException:
            state.close()
            raise
        self._state, self.desks.orders.placed = state, state.touch

    def _break(self, error: StateError) -> None:
        """End: what clients would be told from now on could not be kept."""
        if self._failure is not None:
            return
        self._failure = error
        self._broken.set()
        self._ports.close()
        for session in tuple(self.sessions):
            session.abort("the gateway cannot keep what it would tell")

    async def wait_for_failure(self) -> None:
        """Wait until ledger or state cannot be written any more, and raise that StateError."""
        await self._broken.wait()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """Disconnect everybody and let go of the ports; raise what went wrong meanwhile."""
        if self.scenario is not None:
            await self.scenario.stop()
        for unlisten in self._unlisten:
            unlisten()
        self._unlisten = []
        for task in self._tasks:
            task.cancel()
        failures = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self.desks.close()
        for session in tuple(self.sessions):
            session.close("the gateway stops")
        if self._state is not None:
            self._state.close()
            self._state = None
        await self.stop_listening()
        await self._ports.close_control()
        # Sockets are closed by the loop's next turns; the ledger hears of each.
        for _ in range(3):
            await asyncio.sleep(0)
        self.ledger.close()
        failures.append(self.scenario.failure if self.scenario is not None else None)
        failures.append(self._failure)
        for failure in failures:
            if isinstance(failure, Exception):
                raise failure

    async def start_listening(self) -> None:
        """Accept connections on the port."""
        await self._ports.open()

    async def stop_listening(self) -> None:
        """Accept no more connections; those there are stay."""
        self._ports.close()

    async def wait_for_market(self) -> None:
        """Wait until the market is played to its end; at once where none is played.

        Raises RecordingError where it cannot be read on.
        """
        if self._playing is not None:
            await asyncio.shield(self._playing)

    async def _each_second(self) -> None:
        while True:
            await self.clock.sleep(1.0)
            self.desks.accounts.tick()
            if self.forced_liquidation:
                self._liquidate()
            self.desks.history.tick()
            self.desks.scanner.tick()
            self.desks.questions.forget_past_days()

    def _liquidate(self) -> None:
        """Close positions of accounts that cannot carry them."""
        for order in margin_calls(self.exchange):
            self.ledger.note(
                "margin_call",
                account=order.request.account,
                symbol=order.request.instrument.symbol,
                side=order.request.side.value,
                quantity=order.request.quantity,
                perm_id=order.number,
            )

    @property
    def port(self) -> int:
        """The port for clients; while the gateway serves it is the one that was taken."""
        return self._ports.clients

    @property
    def control_port(self) -> int | None:
        """The port of the control interface, None where there is none."""
        return self._ports.control

    # --- sessions ---------------------------------------------------------------------------

    def new_session(self) -> Session:
        """Return the protocol of the next connection."""
        self._connections += 1
        return Session(self, self._connections)

    def opened(self, session: Session) -> None:
        """A socket was accepted."""
        self.sessions[session] = None

    def closed(self, session: Session, reason: str) -> None:
        """The socket is gone; orders stay."""
        self.sessions.pop(session, None)
        if self._clients.get(session.client_id) is session:
            del self._clients[session.client_id]
        self.desks.forget(session)

    def caught_up(self, session: Session) -> None:
        """The client reads again."""
        self.desks.market_data.refresh(session)

    def started(self, session: Session, request: r.StartApi) -> None:
        """The client said its id: refuse one that is connected, greet any other."""
        client = request.client_id
        holder = self._clients.get(client)
        if (holder is not None and holder.alive) or self.faults.take_refusal(client):
            self.ledger.note("refuse", connection=session.number, client_id=client, code=326)
            session.error(-1, notices.CLIENT_ID_IN_USE, notices.IN_USE_TEXT)
            session.close(f"the client id {client} is in use")
            return
        session.client_id = client
        self._clients[client] = session
        next_id = self.desks.orders.book.next_id(client)
        self.ledger.note(
            "start", connection=session.number, client_id=client, next_order_id=next_id
        )
        session.send(system.managed_accounts(self.account_names))
        session.send(system.next_valid_id(next_id))
        for code in notices.GREETING_NOTICES:
            session.error(-1, code, notices.BROADCASTS[code])
        if self.faults.link_lost:
            session.error(-1, notices.LINK_LOST, notices.BROADCASTS[notices.LINK_LOST])
        session.closes_at("ready")

    # --- requests ---------------------------------------------------------------------------

    def asked(self, session: Session, request: r.Request) -> None:
        """Lead a request to its desk, or keep it while the link to the exchange is lost."""
        kind = type(request)
        if self.faults.orders.read_only and kind in READ_ONLY:
            text = notices.validation("order", notices.READ_ONLY_TEXT)
            session.error(request.request_id, notices.VALIDATION, text)
            return
        if self.faults.link_lost and kind in NEEDS_LINK:
            self.ledger.note("deferred", client_id=session.client_id, request=kind.__name__)
            self._deferred.append((session, request))
            return
        self._routes[kind](session, request)

    def announce(self, code: int, text: str) -> None:
        """Tell everybody a notice, and do what it says."""
        if code in (notices.LINK_LOST, notices.SERVER_LINK_BROKEN):
            self.faults.link_lost = True
        elif code in (notices.MARKET_FARM_BROKEN, notices.MARKET_FARM_OK):
            self.faults.market_farm_broken = code == notices.MARKET_FARM_BROKEN
        elif code in (notices.HISTORY_FARM_BROKEN, notices.HISTORY_FARM_OK):
            self.faults.history_farm_broken = code == notices.HISTORY_FARM_BROKEN
        for session in tuple(self._clients.values()):
            session.error(-1, code, text)
        if code in (notices.LINK_RESTORED, notices.LINK_RESTORED_DATA_LOST):
            self._restore(data_lost=code == notices.LINK_RESTORED_DATA_LOST)
        elif code == notices.MARKET_FARM_OK:
            self.desks.market_data.refresh()

    def _restore(self, *, data_lost: bool) -> None:
        self.faults.link_lost = False
        if data_lost:
            self.desks.lose_data()
        self.desks.orders.events.release()
        while self._deferred:
            session, request = self._deferred.popleft()
            self._routes[type(request)](session, request)
        if not data_lost:
            self.desks.market_data.refresh()

    @property
    def account_names(self) -> tuple[str, ...]:
        """The accounts that clients are told of."""
        told = self.faults.accounts
        return self.exchange.accounts.names if told is None else told

    def clients(self) -> Iterable[int]:
        """Return the ids of the clients that are connected."""
        return tuple(self._clients)
