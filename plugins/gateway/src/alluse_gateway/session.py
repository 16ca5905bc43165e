"""One client's connection: frames in, requests out to the gateway, answers back in batches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from alluse_core.clock import Clock
from alluse_gateway import handshake, notices, wire
from alluse_gateway.answers import system
from alluse_gateway.decode import UnknownMessage, UnreadableMessage, decode
from alluse_gateway.faults import Faults
from alluse_gateway.ledger import Ledger
from alluse_gateway.outgoing import Outgoing
from alluse_gateway.rate import MessageRate
from alluse_gateway.requests import Request, StartApi

if TYPE_CHECKING:
    from alluse_gateway.protobuf.codec import ProtobufForm

HIGH_WATER = 1 << 20
"""Bytes unread by a client beyond which it gets no market data until it has caught up."""

HARD_LIMIT = 32 << 20
"""Bytes unread beyond which the client is disconnected: orders are never dropped in silence."""


class Desk(Protocol):
    """What a session needs of the gateway behind it."""

    clock: Clock
    faults: Faults
    ledger: Ledger
    own_version: int
    rate_limit: int
    max_frame: int

    def opened(self, session: Session) -> None:
        """A socket was accepted."""

    def started(self, session: Session, request: StartApi) -> None:
        """The client said its id."""

    def asked(self, session: Session, request: Request) -> None:
        """A request of a started client."""

    def caught_up(self, session: Session) -> None:
        """The client reads again: it may get market data."""

    def closed(self, session: Session, reason: str) -> None:
        """The socket is gone."""


class Session(asyncio.Protocol):
    """A client's connection, from accept to close.

    ``client_id`` is -1 before startApi. Answers are gathered and written once per turn of the
    loop. Malformed input is answered and never raises; what breaks the framing ends the session.
    """

    def __init__(self, desk: Desk, number: int) -> None:
        self.number = number
        self.client_id = -1
        self.version = 0
        self.congested = False
        self.half_open = False
        self.alive = False
        self.market_data_type = 1
        self.rate = MessageRate(desk.rate_limit)
        self._desk = desk
        self._reader = wire.FrameReader(desk.max_frame)
        self._transport: asyncio.Transport | None = None
        self.outgoing = Outgoing(desk.faults, self._write, self._note)
        self._form: ProtobufForm | None = None
        self._step = "preamble"
        self._why = ""

    # --- transport --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self.alive = True
        self._desk.ledger.note("connect", connection=self.number)
        self._desk.opened(self)
        self.closes_at("accept")

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        self.outgoing.discard()
        reason = self._why or (str(exc) if exc else "the client closed the connection")
        self._desk.ledger.note(
            "disconnect",
            connection=self.number,
            client_id=self.client_id,
            reason=reason,
            messages=self.rate.total,
            max_messages_in_a_second=self.rate.peak,
            rate_violations=self.rate.violations,
        )
        self._desk.closed(self, reason)

    def pause_writing(self) -> None:
        self.congested = True

    def resume_writing(self) -> None:
        self.congested = False
        self._desk.caught_up(self)

    def data_received(self, data: bytes) -> None:
        if self.half_open or not self.alive:
            return
        self._reader.feed(data)
        try:
            if self._step == "preamble" and not self._read_preamble():
                return
            for payload in self._reader.frames():
                self._take(payload)
                if not self.alive:
                    return
        except wire.FrameTooLong as error:
            self._desk.ledger.note("unreadable", connection=self.number, text=str(error))
            if self.version:
                self.error(-1, notices.BAD_LENGTH, f"Bad Message Length: {error}")
            self.close(str(error))

    # --- reading ----------------------------------------------------------------------------

    def _read_preamble(self) -> bool:
        found = self._reader.preamble(handshake.PREAMBLE)
        if found is False:
            self.close("the first bytes are not those of a TWS API client")
        elif found:
            self._step = "offer"
        return bool(found)

    def _take(self, payload: bytes) -> None:
        if self._desk.faults.hears_nothing:
            self._note("swallowed", connection=self.number, size=len(payload))
            return
        if self._step == "offer":
            self._take_offer(payload)
            return
        excess = self.rate.message(self._desk.clock.monotonic())
        if excess is not None:
            self._exceeded(excess.received, excess.count)
            if not self.alive:
                return
        try:
            if self._form is not None:
                request = self._form.request(payload)
            else:
                request = decode(wire.fields_of(payload), self.version)
        except UnknownMessage as error:
            self._unreadable(
                -1, notices.UNKNOWN_MESSAGE, f"Fatal Error: Unknown message id. {error}"
            )
        except UnreadableMessage as error:
            text = f"Error reading request. {error}"
            self._unreadable(error.request_id, notices.READ_ERROR, text)
        except wire.FieldError as error:
            self._unreadable(-1, notices.READ_ERROR, f"Error reading request. {error}")
        else:
            self._act(request)

    def _act(self, request: Request) -> None:
        if isinstance(request, StartApi):
            if self._step == "start" and not self.closes_at("start"):
                self._step = "ready"
                self._desk.started(self, request)
        elif self._step == "ready":
            self._desk.asked(self, request)

    def _take_offer(self, payload: bytes) -> None:
        offer = handshake.read_offer(payload)
        version = handshake.negotiate(offer, self._desk.own_version) if offer else None
        if offer is None or version is None:
            self.close(f"no version in common with the client's offer {payload[:40]!r}")
            return
        if self.closes_at("version"):
            return
        self.version = version
        self._step = "start"
        self._desk.ledger.note("version", connection=self.number, version=version)
        self.send(handshake.greeting(version, self._desk.faults.told(self._desk.clock.now())))
        self.outgoing.version = version
        if version >= wire.RAW_IDS:
            from alluse_gateway.protobuf.codec import ProtobufForm

            self._form = ProtobufForm(version)

    def _unreadable(self, request_id: int, code: int, text: str) -> None:
        self._desk.ledger.note(
            "unreadable", connection=self.number, client_id=self.client_id, code=code, text=text
        )
        self.error(request_id, code, text)

    def _exceeded(self, received: int, count: int) -> None:
        self._desk.ledger.note(
            "rate", connection=self.number, client_id=self.client_id, received=received, count=count
        )
        text, limit = notices.MAX_RATE_TEXT, self.rate.limit
        self.error(-1, notices.MAX_RATE, f"{text}:max={limit} rec={received} ({count})")
        if count >= self._desk.faults.violations_allowed:
            self.close("the message rate was exceeded again and again")

    # --- writing ----------------------------------------------------------------------------

    def error(self, request_id: int, code: int, text: str) -> None:
        """Send an error about a request, an order, or (-1) neither."""
        now = self._desk.faults.told(self._desk.clock.now())
        millis = int(now.timestamp() * 1000)
        self.send(system.error(self.version, request_id, code, text, "", millis))

    def send(self, frame: bytes) -> None:
        """Queue one frame; frames leave in the order they were queued."""
        if self.alive and not self.half_open and not self._desk.faults.says_nothing:
            self.outgoing.put(frame if self._form is None else self._form.answer(frame))

    def _note(self, event: str, **facts: object) -> None:
        self._desk.ledger.note(event, client_id=self.client_id, **facts)

    def _write(self, batch: bytes) -> None:
        if self._transport is None or self.half_open or self._transport.is_closing():
            return
        self._transport.write(batch)
        if self._transport.get_write_buffer_size() > HARD_LIMIT:
            self.abort("the client does not read what it is sent")

    # --- ending -----------------------------------------------------------------------------

    def closes_at(self, step: str) -> bool:
        """Close here if the control interface wants connections closed at ``step``."""
        if self._desk.faults.close_at != step:
            return False
        self.close(f"told to close at {step!r}")
        return True

    def close(self, reason: str) -> None:
        """Send what is queued and close."""
        self.outgoing.flush()
        self._end(reason)
        if self._transport is not None:
            self._transport.close()

    def abort(self, reason: str) -> None:
        """Close at once; what is queued is lost."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    def freeze(self) -> None:
        """Neither read nor write any more, and keep the socket."""
        self.half_open = True
        self.outgoing.discard()
        if self._transport is not None:
            self._transport.pause_reading()

    def _end(self, reason: str) -> None:
        self._why = self._why or reason
        self.alive = False
