"""The end of an outage of the uplink, for orders whose own connection was not told of it."""

from __future__ import annotations

import asyncio

from alluse_core.errors import BrokerUnavailable, RequestFailed
from alluse_ibkr import codes
from alluse_ibkr.connection import Connection
from alluse_ibkr.order_desk import OrderDesk

_LOST = frozenset({codes.UPLINK_LOST, codes.UPLINK_BROKEN})
_BACK = frozenset({codes.UPLINK_BACK, codes.UPLINK_BACK_DATA_LOST})


class Uplink:
    """Takes what the connections beside that of the orders are told of the uplink.

    The terminal has one uplink and tells each connection of it. An end (1101, 1102) that the order
    connection does not hear would gate new risk until its socket is made anew.

    Each connection tells of the past in its own time, so word of one outage's end may come while
    the orders know of the next one. Behind the answer to a question comes nothing that was said
    before it: the orders are asked whether they missed the end, then the other connection whether
    the uplink was lost again.
    """

    def __init__(self, desk: OrderDesk, orders: Connection) -> None:
        self._desk = desk
        self._orders = orders
        self._passing_on: dict[Connection, asyncio.Task[None]] = {}

    def heard(self, connection: Connection, code: int, text: str) -> None:
        """Take a coded message of one of them; those that are not about the uplink pass."""
        if code not in _LOST and code not in _BACK:
            return
        before = self._passing_on.pop(connection, None)
        if before is not None:
            before.cancel()
        if code in _BACK:
            task = asyncio.ensure_future(self._pass_on(connection, code, text))
            self._passing_on[connection] = task

    async def close(self) -> None:
        """Stop what is still being asked."""
        tasks = tuple(self._passing_on.values())
        self._passing_on.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass_on(self, connection: Connection, code: int, text: str) -> None:
        try:
            await _round_trip(self._orders)
            turns = self._desk.turns
            if not self._desk.degraded:
                return
            await _round_trip(connection)
        except BrokerUnavailable:
            # A socket that is made anew is told of the uplink in its greeting.
            return
        if self._desk.degraded and self._desk.turns == turns:
            said = f"{text} (said to the {connection.role} connection alone)"
            self._desk.uplink_back(code, said)


async def _round_trip(connection: Connection) -> None:
    """Return behind an answer; a late one is asked for again. Raises BrokerUnavailable."""
    while True:
        try:
            await connection.probe()
            return
        except RequestFailed:
            continue  # A connection that stays mute is ended by its watchdog.
