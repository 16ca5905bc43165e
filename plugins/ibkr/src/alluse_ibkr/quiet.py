"""Tells a quiet market from a dead connection, sooner than a heartbeat does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from alluse_core.clock import Clock
from alluse_core.errors import BrokerUnavailable, RequestFailed
from alluse_core.telemetry import Counter
from alluse_ibkr.connection import Connection

_SHORTEST = 0.1
"""The least wait, as a share of the silence that is allowed."""


async def break_silence(
    connection: Connection,
    clock: Clock,
    silence: float,
    wanted: asyncio.Event,
    streaming: Callable[[], bool],
    probes: Counter,
) -> None:
    """Ask for the time whenever nothing came for ``silence`` seconds while lines stream.

    ``wanted`` is set while there are lines at all; ``streaming`` says whether one of them lives.
    So at most one message goes in that time, and none while ticks come. An answer that does not
    come is the watchdog's affair: it ends the socket, and with it this work should end.
    """
    while True:
        await wanted.wait()
        wait = silence
        if streaming() and connection.ready:
            wait = connection.heard_at + silence - clock.monotonic()
            if wait <= 0:
                probes.value += 1
                try:
                    await connection.probe(connection.settings.heartbeat)
                except (BrokerUnavailable, RequestFailed):
                    wait = silence
        await clock.sleep(max(wait, silence * _SHORTEST))
