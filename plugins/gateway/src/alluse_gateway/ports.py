"""The loopback ports that the gateway listens on: one for clients, one for its control."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable

from alluse_core.errors import BrokerError
from alluse_gateway import control_server
from alluse_gateway.control import Control
from alluse_gateway.ledger import Ledger
from alluse_gateway.session import Session

HOST = "127.0.0.1"


class PortInUse(BrokerError):
    """The port to listen on is taken."""


class Ports:
    """Opens and closes both. ``clients`` and ``control`` are numbers; 0 takes a free one.

    ``new_session`` makes the protocol of each client's connection.
    """

    def __init__(
        self,
        clients: int,
        control: int | None,
        new_session: Callable[[], Session],
        commands: Control,
        ledger: Ledger,
    ) -> None:
        self.clients = clients
        self.control = control
        self._new_session = new_session
        self._commands = commands
        self._ledger = ledger
        self._server: asyncio.Server | None = None
        self._control_server: asyncio.Server | None = None
        self._controllers: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Accept clients. Raises PortInUse, BrokerError."""
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._new_session, HOST, self.clients)
        except OSError as error:
            raise _port_error(error, self.clients) from error
        self.clients = self._server.sockets[0].getsockname()[1]
        self._ledger.note("listen", port=self.clients)

    def close(self) -> None:
        """Accept no more clients; those there are stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def open_control(self) -> None:
        """Accept connections to the control interface if it has a port. Raises as :meth:`open`."""
        if self.control is None:
            return
        try:
            self._control_server = await asyncio.start_server(
                self._controlled, HOST, self.control, limit=control_server.LONGEST_LINE
            )
        except OSError as error:
            raise _port_error(error, self.control) from error
        self.control = self._control_server.sockets[0].getsockname()[1]

    async def close_control(self) -> None:
        """End the control interface, and the connections to it."""
        if self._control_server is not None:
            self._control_server.close()
            self._control_server = None
        for controller in tuple(self._controllers):
            controller.cancel()
        await asyncio.gather(*self._controllers, return_exceptions=True)

    async def _controlled(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._controllers.add(task)
        task.add_done_callback(self._controllers.discard)
        # Ends without an error when cancelled, which Python 3.11 would log with a traceback.
        with contextlib.suppress(asyncio.CancelledError):
            await control_server.serve(self._commands, reader, writer)


def _port_error(error: OSError, port: int) -> BrokerError:
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"port {port} on {HOST} is in use",
            hint="stop what listens there, or use --port 0 to take a free one",
        )
    return BrokerError(
        f"cannot listen on {HOST}:{port}: {error.strerror}",
        hint="use --port 0 to take a free port, or one above 1023",
    )
