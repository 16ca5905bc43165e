"""Reads a socket's bytes through the library's client, and ends it where they are no messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alluse_ibkr.wrapper import Wrapper

MAX_FRAME = 16 * 1024 * 1024
"""No message is longer; a larger length prefix means that the framing is lost."""

MAX_VERSION_FRAME = 4096
"""The first message is a version and a time; the other protocols of a port begin otherwise."""

PIECE = 8192
"""Bytes the client gets at once: it copies all it holds for each message that it takes off."""


class Reading:
    """Stands between a client's transport and its decoder.

    The client lets exceptions of its framing escape into asyncio, and waits for ever for a
    message that was announced longer than any is. ``drop`` is told why the socket has to end.
    Keep a reference: the client's events hold none.
    """

    def __init__(self, client: Any, wrapper: Wrapper, drop: Callable[[str], None]) -> None:
        self._client = client
        self._wrapper = wrapper
        self._drop = drop
        self._read = client._onSocketHasData
        client.conn.hasData -= self._read
        client.conn.hasData += self.take
        # It is called once for all pieces of a read, from here.
        client._tcpDataProcessed = None

    def take(self, data: bytes) -> None:
        """Take what one read of the socket brought."""
        try:
            if len(data) <= PIECE:
                self._read(data)
            else:
                for start in range(0, len(data), PIECE):
                    self._read(data[start : start + PIECE])
        except Exception as error:  # noqa: BLE001  whatever it is, the stream cannot be read on
            self._drop(f"sent what is no message of the API ({error})")
            return
        fault = self._fault()
        if fault:
            self._drop(fault)
        else:
            self._wrapper.tcpDataProcessed()

    def _fault(self) -> str:
        client, greeted = self._client, self._wrapper.acknowledged
        held = client._data
        if len(held) >= 4:
            length = int.from_bytes(held[:4], "big")
            if not 0 < length <= (MAX_FRAME if greeted else MAX_VERSION_FRAME):
                return "sent a length prefix that cannot be: the framing is lost"
        if client._numMsgRecv and not greeted:
            return "sent something else where its version belongs"
        version, offered = client._serverVersion, client.MaxClientVersion
        if version > offered:
            return f"answered version {version}, and {offered} is the highest that was offered"
        return ""
