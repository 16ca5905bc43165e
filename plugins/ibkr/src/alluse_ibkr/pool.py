"""All connections of one login, and which of them serves what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alluse_core.errors import BrokerUnavailable
from alluse_core.telemetry import Registry
from alluse_ibkr import codes, roles
from alluse_ibkr.connection import Connection, RoleEvents, Surroundings
from alluse_ibkr.lines import LineDesk
from alluse_ibkr.meters import COMPONENT, RoleMeters, WorkingTime
from alluse_ibkr.order_desk import OrderDesk
from alluse_ibkr.roles import Role
from alluse_ibkr.route import Route, least_busy
from alluse_ibkr.ticks import Line
from alluse_ibkr.uplink import Uplink
from alluse_ibkr.wrapper import Listener

_FARMS = frozenset(
    {
        codes.UPLINK_LOST,
        codes.UPLINK_BACK,
        codes.UPLINK_BROKEN,
        codes.MARKET_FARM_BROKEN,
        codes.MARKET_FARM_FINE,
        codes.DEFINITIONS_FARM_BROKEN,
        codes.DEFINITIONS_FARM_FINE,
    }
)


class Ear(Listener):
    """Hears for a desk on a connection that may not be the one in service.

    What the terminal says of its farms and its uplink holds for all its connections; the rest of
    what comes on a connection out of service is about nobody's line.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.connection: Connection | None = None

    def _serves(self) -> bool:
        return self.connection is self._pool.data

    def on_quotes(self, lines: list[Line], now: float) -> None:
        """Pass quotes on while in service."""
        if self._serves():
            self._pool.lines.on_quotes(lines, now)

    def on_heartbeat(self, now: float) -> None:
        """Pass a sign of life on while in service."""
        if self._serves():
            self._pool.lines.on_heartbeat(now)

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """Pass an error on while in service, and word of farms and uplink at all times."""
        if self._serves() or code in _FARMS:
            self._pool.lines.on_error(request_id, code, text)
        if self.connection is not None:
            self._pool.uplink.heard(self.connection, code, text)

    def on_retired(self, role: str, client_id: int, reason: str, heir: int | None) -> None:
        """Pass on that a client id was retired."""
        self._pool.orders_listener.on_retired(role, client_id, reason, heir)


class Quiet(Listener):
    """Hears on connections that only ask; answers find their questions without it."""

    def __init__(self, orders: Listener) -> None:
        self._orders = orders

    def on_retired(self, role: str, client_id: int, reason: str, heir: int | None) -> None:
        """Pass on that a client id was retired."""
        self._orders.on_retired(role, client_id, reason, heir)


class Pool:
    """The connections of one login.

    ``data`` is the one that serves the lines. With a spare the two change places when the one in
    service is lost: the lines are asked for on the other at once, and the lost one, made again,
    is the spare. History and contracts have connections of their own where the settings say so;
    while these are down the data connection stands in.
    """

    def __init__(
        self,
        broker: str,
        surroundings: Surroundings,
        registry: Registry,
        orders: OrderDesk,
        order_events: RoleEvents,
        lines: LineDesk,
    ) -> None:
        self.lines = lines
        self.orders_listener = orders
        self._broker = broker
        self._surroundings = surroundings
        self._registry = registry
        self._times = {
            kind: self._time(kind)
            for kind in dict.fromkeys(role.kind for role in roles.plan(surroundings.settings))
            if kind != roles.SPARE
        }
        self._takeovers = registry.counter(COMPONENT, "takeovers", broker=broker)
        self._members: list[tuple[Role, Connection]] = []
        for role in roles.plan(surroundings.settings):
            self._members.append((role, self._make(role, order_events)))
        self.orders = self._of(roles.ORDERS)[0]
        self.uplink = Uplink(orders, self.orders)
        self.data = self._of(roles.DATA)[0]
        lines.connection = self.data
        self.route = Route(lambda: self.data)
        self.history = least_busy(self._of(roles.HISTORY), lambda: self.data)
        self.contracts = least_busy(self._of(roles.CONTRACTS), lambda: self.data)

    def __iter__(self) -> Iterator[Connection]:
        return (connection for _, connection in self._members)

    def _of(self, kind: str) -> tuple[Connection, ...]:
        return tuple(connection for role, connection in self._members if role.kind == kind)

    def _time(self, kind: str) -> WorkingTime:
        time = WorkingTime(self._surroundings.clock)
        labels = {"broker": self._broker, "role": kind}
        self._registry.observe(COMPONENT, "session_working_share", time.share, "%", **labels)
        return time

    def _working(self, kind: str) -> Sequence[WorkingTime]:
        """Return the roles that a connection of this kind lets work: the data one stands in."""
        if kind in (roles.DATA, roles.SPARE):
            stood_in_for = (roles.DATA, roles.HISTORY, roles.CONTRACTS)
            return [self._times[each] for each in stood_in_for if each in self._times]
        return [self._times[kind]]

    def _make(self, role: Role, order_events: RoleEvents) -> Connection:
        around = self._surroundings
        meters = RoleMeters(
            self._registry, around.clock, self._broker, role.name, self._working(role.kind)
        )
        if role.kind == roles.ORDERS:
            return Connection(
                "order", role.client_ids, around, meters, self.orders_listener, order_events
            )
        if role.kind in (roles.DATA, roles.SPARE):
            ear = Ear(self)
            events = RoleEvents(
                up=lambda: self._data_up(connection),
                down=lambda _: self._data_down(connection),
                undecodable=lambda _: None,
            )
            connection = Connection(role.name, role.client_ids, around, meters, ear, events)
            ear.connection = connection
            return connection
        silent = RoleEvents(up=lambda: None, down=lambda _: None, undecodable=lambda _: None)
        quiet = Quiet(self.orders_listener)
        return Connection(role.name, role.client_ids, around, meters, quiet, silent)

    # --- up and down -----------------------------------------------------------------------

    async def open(self) -> None:
        """Connect orders and data, or raise BrokerUnavailable; the rest comes by itself."""
        await self.orders.open()
        self._check_account()
        await self.data.open()
        for role, connection in self._members:
            if role.kind not in (roles.ORDERS, roles.DATA):
                connection.open_later()

    def _check_account(self) -> None:
        wanted = self._surroundings.settings.account
        if wanted and wanted not in self.orders.accounts:
            raise BrokerUnavailable(
                f"account {wanted} is not among {', '.join(self.orders.accounts)}",
                hint="correct the account, or log in with the user who may trade it",
            )

    async def close(self) -> None:
        """End all connections, orders last."""
        others = [connection for connection in self if connection is not self.orders]
        # In service last, so that no spare takes over what is ending.
        others.sort(key=lambda connection: connection is self.data)
        for connection in others:
            await connection.close()
        await self.orders.close()
        await self.uplink.close()
        self._surroundings.locks.close()

    # --- the data pair ---------------------------------------------------------------------

    def _data_up(self, connection: Connection) -> None:
        if connection is self.data:
            self.lines.connected()
        elif not self.data.ready:
            self._take_over(connection, greeted=True)

    def _data_down(self, connection: Connection) -> None:
        if connection is not self.data:
            return
        self.lines.disconnected()
        for heir in (*self._of(roles.DATA), *self._of(roles.SPARE)):
            if heir is not connection and heir.ready:
                self._take_over(heir, greeted=False)
                return

    def _take_over(self, heir: Connection, *, greeted: bool) -> None:
        self._takeovers.value += 1
        self.data.fence()
        self.data = self.lines.connection = heir
        self.lines.connected(greeted=greeted)
