"""The heartbeat of a running process, for a watchdog in another process or on another host."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import attrs

from alluse_core.errors import StateError

_log = logging.getLogger(__name__)

HEARTBEAT = "heartbeat.json"
TOKEN = "heartbeat.token"
_LINE = 256


@attrs.frozen
class Beat:
    """One beat: ``number`` rises by one in each incarnation. ``ended``: it was stopped orderly.

    ``trading`` is the trading state, ``pid`` the process. A heart stands still where neither
    incarnation nor number changes; nobody's clock but the watcher's is needed to tell.
    """

    incarnation: str
    number: int
    pid: int
    trading: str = ""
    ended: bool = False

    def encode(self) -> bytes:
        """Return it as one line of JSON."""
        return json.dumps(attrs.asdict(self)).encode() + b"\n"


def decode(line: bytes) -> Beat | None:
    """Return the beat of a line; None where it is not one."""
    try:
        body = json.loads(line)
        return Beat(
            str(body["incarnation"]),
            int(body["number"]),
            int(body["pid"]),
            str(body.get("trading", "")),
            body.get("ended") is True,
        )
    except (ValueError, KeyError, TypeError):
        return None


class Heart:
    """Beats into a file of the state folder and, where a port is set, over loopback.

    A client of the port sends the token of ``heartbeat.token`` and a line feed, and gets the
    newest beat. It must be called from the event loop: a loop that hangs stops it, as it should.
    """

    def __init__(
        self,
        folder: Path,
        incarnation: str,
        trading: Callable[[], str],
        every: float,
        port: int = 0,
    ) -> None:
        self._folder = folder
        self._trading = trading
        self._every = every
        self._port = port
        self._task: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None
        self._beat = Beat(incarnation, 0, os.getpid())

    async def start(self) -> None:
        """Begin to beat, and serve. Raises StateError where the port is taken."""
        if self._port:
            token = self._make_token()
            try:
                self._server = await asyncio.start_server(
                    lambda reader, writer: self._serve(reader, writer, token),
                    "127.0.0.1",
                    self._port,
                    limit=_LINE,
                )
            except OSError as error:
                raise StateError(
                    f"the heartbeat cannot be served on port {self._port}: {error.strerror}",
                    hint="set [heartbeat] port to another one, or to 0",
                ) from None
        self.beat()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="heartbeat")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                self.beat()
            except OSError as error:
                # A full disk stops the file, not the port: a watchdog may act, and says why.
                _log.error("the heartbeat cannot be written: %s", error)

    def beat(self) -> None:
        """Beat once."""
        self._beat = attrs.evolve(self._beat, number=self._beat.number + 1, trading=self._trading())
        self._write()

    async def stop(self) -> None:
        """Say that the end was orderly: nobody needs to act."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._beat = attrs.evolve(self._beat, number=self._beat.number + 1, ended=True)
        with contextlib.suppress(OSError):
            self._write()
        if self._server is not None:
            self._server.close()

    def _write(self) -> None:
        path = self._folder / HEARTBEAT
        partial = path.with_name(f".{HEARTBEAT}")
        partial.write_bytes(self._beat.encode())
        os.replace(partial, path)

    def _make_token(self) -> bytes:
        path = self._folder / TOKEN
        with contextlib.suppress(FileNotFoundError):
            if known := path.read_bytes().strip():
                return known
        token = secrets.token_urlsafe(24).encode()
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(token)
        return token

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: bytes
    ) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), 5.0)
            if hmac.compare_digest(line.strip(), token):
                writer.write(self._beat.encode())
                await writer.drain()
        except (TimeoutError, ValueError, OSError):
            # Whoever asked wrongly gets no answer; the heart does not stop for it.
            pass
        finally:
            writer.close()


def read_file(folder: Path) -> Beat | None:
    """Return the newest beat of a state folder; None where there is none."""
    try:
        return decode((folder / HEARTBEAT).read_bytes())
    except OSError:
        return None


def read_port(host: str, port: int, token: bytes, timeout: float = 3.0) -> Beat | None:
    """Ask a heart for its newest beat; None where it does not answer. Blocks."""
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.sendall(token.strip() + b"\n")
            with connection.makefile("rb") as answer:
                return decode(answer.readline(4096))
    except OSError:
        return None
