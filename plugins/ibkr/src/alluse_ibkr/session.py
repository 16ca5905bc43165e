"""One socket to TWS or IB Gateway, from the handshake to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from alluse_core.clock import Clock
from alluse_core.errors import BrokerUnavailable, RequestFailed
from alluse_core.model import ErrorClass
from alluse_core.ports import Classify
from alluse_ibkr import codes, strikes
from alluse_ibkr.client import Library, open_client
from alluse_ibkr.client_ids import ClientIdTaken
from alluse_ibkr.endpoint import Endpoint
from alluse_ibkr.reading import Reading
from alluse_ibkr.settings import IbkrSettings
from alluse_ibkr.wrapper import Listener, Wrapper

_SOCKET_CODES = frozenset({codes.NOT_CONNECTED, codes.BAD_LENGTH, codes.PORT_CHANGED})
"""Said about the socket itself: it is of no use any more."""


class VersionRefused(BrokerUnavailable):
    """The gateway speaks no version that this client does."""


class Session:
    """One connected socket. ``lost`` gets the reason when it ends; it never comes back."""

    def __init__(
        self,
        library: Library,
        settings: IbkrSettings,
        client_id: int,
        clock: Clock,
        listener: Listener,
        undecodable: Callable[[str], None],
        classify: Classify,
        endpoint: Endpoint | None = None,
    ) -> None:
        self._endpoint = endpoint or Endpoint(settings.host, settings.port)
        self._port = self._endpoint.port
        self.client_id = client_id
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._settings = settings
        self._clock = clock
        self._listener = listener
        self._classify = classify
        self.fault = ""
        self._refusal: BrokerUnavailable | None = None
        self._said = ""
        self.wrapper = Wrapper(clock, listener, self._error)
        self.client: Any = open_client(library, self.wrapper, undecodable)
        self.wrapper.client = self.client
        self._reading = Reading(self.client, self.wrapper, self._unreadable)
        self.client.apiError += self._api_error
        self.client.conn.disconnected += self._disconnected

    @property
    def ready(self) -> bool:
        """Whether bytes that are written now go to a socket that is not known to be dead."""
        transport = self.client.conn.transport
        return (
            not self.lost.done()
            and transport is not None
            and not transport.is_closing()
            and bool(self.client.isReady())
        )

    async def connect(self) -> None:
        """Do the handshake, or raise BrokerUnavailable with the step that failed."""
        settings = self._settings
        shaking = asyncio.ensure_future(
            self.client.connectAsync(settings.host, self._port, self.client_id, 0)
        )
        timer = asyncio.ensure_future(self._clock.sleep(settings.connect_timeout))
        try:
            await asyncio.wait((shaking, timer, self.lost), return_when=asyncio.FIRST_COMPLETED)
            failure = self._failure(shaking)
        finally:
            timer.cancel()
            if not shaking.done():
                shaking.cancel()
            await asyncio.gather(shaking, timer, return_exceptions=True)
        if failure is not None:
            self.drop(str(failure))
            raise failure

    def _failure(self, shaking: asyncio.Future[None]) -> BrokerUnavailable | None:
        where = f"{self._settings.host}:{self._port}"
        if self._refusal is not None:
            return self._refusal
        if self.lost.done():
            return BrokerUnavailable(
                f"{where} {self.lost.result()} {self._step()}{self._last_words()}",
                hint="is this the API port, and does the gateway trust this address?",
            )
        if not shaking.done():
            return BrokerUnavailable(
                f"{where} was silent for {self._settings.connect_timeout:g} s {self._step()}"
                f"{self._last_words()}",
                hint="log in at the gateway, or restart it; a dialog may be waiting there",
            )
        error = shaking.exception()
        if error is None:
            return None
        if isinstance(error, ConnectionRefusedError):
            return BrokerUnavailable(
                f"nothing listens on {where}",
                hint="start TWS or IB Gateway and enable its API, or correct the port",
            )
        return BrokerUnavailable(f"{where} cannot be reached: {error}")

    def _step(self) -> str:
        if not self.wrapper.acknowledged:
            return "before it answered the version handshake"
        return f"after client id {self.client_id} had started the API"

    def _last_words(self) -> str:
        return f"; its last words: {self._said}" if self._said else ""

    def drop(self, reason: str, fault: str = "") -> None:
        """End the socket at once, without waiting for the other side.

        ``fault`` names what the other side did wrong, where it did (see strikes).
        """
        if not self.lost.done():
            self.fault = fault
        self._end(reason)
        transport = self.client.conn.transport
        if transport is not None:
            transport.abort()

    def _unreadable(self, reason: str) -> None:
        self.drop(reason, strikes.FRAMING if self.wrapper.acknowledged else strikes.VERSION)

    def close(self) -> None:
        """End the socket after what is written has left."""
        self._end("was closed by this side")
        if self.client.conn.transport is not None:
            self.client.disconnect()

    def _end(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
            self.wrapper.pending.fail_all(
                lambda: BrokerUnavailable(f"the connection was lost: {reason}")
            )

    def _disconnected(self, text: str) -> None:
        self._end(f"closed the connection ({text})" if text else "closed the connection")

    def _api_error(self, text: str) -> None:
        if "version" in text and self._refusal is None:
            self._refusal = VersionRefused(
                f"the gateway is too old for this client: {text}", hint="update TWS or IB Gateway"
            )
            self._end("speaks too old a version")

    def _error(self, request_id: int, code: int, text: str) -> None:
        if code == codes.CLIENT_ID_TAKEN and self._refusal is None:
            self._refusal = ClientIdTaken(
                f"client id {self.client_id} is in use at "
                f"{self._settings.host}:{self._port}: {text}",
                hint="end the other program that uses this client id, or wait for the gateway to "
                "let go of it; the id for orders is not changed, since only it may change them",
            )
            self._end("refused the client id")
            return
        question = self.wrapper.pending.numbered.get(request_id)
        if request_id == -1 and code in _SOCKET_CODES:
            self._listener.on_error(request_id, code, text)
            if code == codes.PORT_CHANGED:
                self._endpoint.move(text)
            framing = code == codes.BAD_LENGTH
            self.drop(f"said {code}: {text}", strikes.FRAMING if framing else "")
        elif question is None:
            self._said = f"{code} {text}"
            self._listener.on_error(request_id, code, text)
        elif self._classify(code, text, question.verb).error_class is not ErrorClass.INFO:
            question.fail(RequestFailed(f"{text} (code {code})", code=code))
