"""Bytes that are no message of the protobuf era: an error each, and nobody else is disturbed."""

from __future__ import annotations

import asyncio
import os
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from alluse_gateway import requests as r
from alluse_gateway import wire
from alluse_gateway.decode import UnknownMessage, UnreadableMessage
from alluse_gateway.protobuf.codec import ProtobufForm
from alluse_gateway.protobuf.layout import read_escaped
from alluse_gateway.protobuf.questions import questions
from alluse_gateway.protobuf.replies import ROWS
from alluse_gateway.protobuf.schema import schema
from alluse_gateway.server import SimulatedGateway
from gateway_lab import make_exchange, opened, until
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("ALLUSE_FUZZ_EXAMPLES", "150"))
FORM = ProtobufForm(226)
KINDS = sorted(questions())

TEXTS = st.text(max_size=12) | st.sampled_from(
    ["AAPL", "STK", "BAG", "BUY", "LMT", "PEG BEST", "PEG BENCH", "\\", "\0", "\\x", "\ud7ff"]
)
NUMBERS = st.floats() | st.sampled_from([0.0, 1.5, float("inf"), 1.7976931348623157e308])
SCALARS: dict[str, Any] = {
    "string": TEXTS,
    "int": st.integers(-(2**31), 2**31 - 1) | st.integers(0, 9),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": NUMBERS,
    "bool": st.booleans(),
}


def fill(draw: Any, name: str, message: Any, depth: int = 0) -> None:
    """Set some of a message's fields to anything of their types."""
    fields = list(schema().fields[name].values())
    for field in draw(st.lists(st.sampled_from(fields), max_size=8)) if fields else ():
        if field.kind == "map":
            getattr(message, field.name).update(draw(st.dictionaries(TEXTS, TEXTS, max_size=3)))
        elif field.is_message:
            if depth < 3:
                part = getattr(message, field.name)
                fill(draw, field.kind, part.add() if field.repeated else part, depth + 1)
        elif field.repeated:
            getattr(message, field.name).extend(draw(st.lists(SCALARS[field.kind], max_size=3)))
        else:
            setattr(message, field.name, draw(SCALARS[field.kind]))


@st.composite
def payloads(draw: Any) -> bytes:
    """A request of any kind with anything in its fields, now and then cut or garbled."""
    kind = draw(st.sampled_from(KINDS))
    message = questions()[kind].message()
    for part in ("contract", "order"):
        if part in message.DESCRIPTOR.fields_by_name and draw(st.booleans()):
            fill(draw, part.title(), getattr(message, part))
    fill(draw, message.DESCRIPTOR.name, message)
    body = bytearray(message.SerializeToString())
    if body and draw(st.integers(0, 3)) == 0:
        body[draw(st.integers(0, len(body) - 1))] ^= draw(st.integers(1, 255))
    return struct.pack(">I", kind + 200) + bytes(body)


def read(payload: bytes) -> r.Request | Exception:
    """Read one payload; an error that the session answers is a result, any other is raised."""
    try:
        return FORM.request(payload)
    except (UnknownMessage, UnreadableMessage, wire.FieldError) as error:
        return error


@settings(max_examples=EXAMPLES, deadline=None)
@given(payloads())
def test_any_message_is_a_request_or_a_refusal(ran: Callable[[int], None], payload: bytes) -> None:
    assert isinstance(read(payload), (r.Request, UnreadableMessage))
    ran(1)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=64) | st.binary(max_size=40).map(lambda tail: b"\0\0\0\xcb" + tail))
def test_any_bytes_are_a_request_or_a_refusal(ran: Callable[[int], None], payload: bytes) -> None:
    read(payload)
    ran(1)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.text())
def test_free_text_survives_its_escape(ran: Callable[[int], None], text: str) -> None:
    meant = text.replace("\0", "").encode("utf-8", "replace").decode()
    assert (read_escaped(wire.escaped(meant)) or "") == meant
    ran(1)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.text())
def test_text_of_any_kind_can_be_sent(ran: Callable[[int], None], text: str) -> None:
    frame = wire.frame(wire.joined("6", "2", text.replace("\0", ""), "1", "USD", "DU1"))
    payload = FORM.answer(frame)[4:]
    message: Any = schema().classes["AccountValue"]()
    message.ParseFromString(payload[4:])
    assert message.currency == "USD"
    ran(1)


# --- over TCP -----------------------------------------------------------------------------------


class RawClient:
    """A client of version 226 that says exactly what a test wants, and reads what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, gateway: SimulatedGateway, client_id: int) -> RawClient:
        raw = cls(*await opened(gateway.port))
        offer = b"v100..226"
        raw.writer.write(b"API\0" + struct.pack(">I", len(offer)) + offer)
        assert wire.fields_of(await raw.frame())[0] == "226"
        raw.ask(71, clientId=client_id)
        assert (await raw.read("NextValidId")).orderId > 0
        return raw

    def ask(self, kind: int, **values: Any) -> None:
        message = questions()[kind].message()
        for name, value in values.items():
            setattr(message, name, value)
        self.say(struct.pack(">I", kind + 200) + message.SerializeToString())

    def say(self, payload: bytes) -> None:
        self.writer.write(struct.pack(">I", len(payload)) + payload)

    async def frame(self) -> bytes:
        (length,) = struct.unpack(">I", await self.reader.readexactly(4))
        return await self.reader.readexactly(length)

    async def read(self, name: str) -> Any:
        """Return the next message of that name."""
        while True:
            payload = await self.frame()
            kind = int.from_bytes(payload[:4], "big") - 200
            if kind in ROWS and ROWS[kind][1] == name:
                message = schema().classes[name]()
                message.ParseFromString(payload[4:])
                return message

    async def error(self, code: int) -> Any:
        while True:
            error = await self.read("ErrorMessage")
            if error.errorCode == code:
                return error


MALFORMED = [
    (b"\0\0\0\xcb\xff\xff\xff", 320, "placeOrder"),
    (b"\0\0\0\xcb", 320, "placeOrder"),
    (b"\0\0\0\xcc\x0a", 320, "cancelOrder"),
    (b"\0\0\0\xc9\x08", 320, "reqMktData"),
    (b"\0\0", 320, "four bytes"),
    (b"\0\0\0\x07not text", 320, "not ended"),
    (b"\0\0\0\xe2", 505, "226"),
    (b"\xff\xff\xff\xff", 505, "4294967295"),
    (b"\0\0\1\x34", 505, "308"),  # reqConfig
]


def test_what_cannot_be_read_is_answered_and_disturbs_nobody() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange(), rate_limit=0) as gateway:
            other = await RawClient.connect(gateway, 1)
            raw = await RawClient.connect(gateway, 2)
            for payload, code, word in MALFORMED:
                raw.say(payload)
                error = await raw.error(code)
                assert (error.id, word in error.errorMsg) == (-1, True), error
            for client in (raw, other):
                client.ask(49)
                assert (await client.read("CurrentTime")).currentTime > 1_700_000_000
            assert len(gateway.ledger.of("unreadable")) == len(MALFORMED)
            raw.writer.close()
            other.writer.close()

    asyncio.run(asyncio.wait_for(story(), 20))


def test_the_error_names_the_request_that_could_not_be_read() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            raw = await RawClient.connect(gateway, 2)
            request: Any = questions()[3].message()
            request.orderId, request.contract.symbol = 77, "AAPL"
            request.order.totalQuantity = "ten"
            raw.say(struct.pack(">I", 203) + request.SerializeToString())
            error = await raw.error(320)
            assert (error.id, "'ten'" in error.errorMsg) == (77, True)
            raw.writer.close()

    asyncio.run(asyncio.wait_for(story(), 20))


@pytest.mark.parametrize("seed", range(2))
def test_no_noise_raises_or_disturbs_another_client(seed: int) -> None:
    rng = random.Random(seed)
    raised: list[dict[str, Any]] = []

    def noise() -> bytes:
        kind = 3 if rng.random() < 0.4 else rng.choice([kind for kind in KINDS if kind != 71])
        message: Any = questions()[kind].message()
        if "contract" in message.DESCRIPTOR.fields_by_name:
            message.contract.symbol, message.contract.secType = "AAPL", rng.choice(("STK", "BAG"))
            message.contract.exchange, message.contract.currency = "SMART", "USD"
        if kind == 3:
            message.orderId = rng.randrange(1, 3000)
            message.order.action, message.order.orderType = "BUY", rng.choice(("MKT", "LMT"))
            message.order.totalQuantity = rng.choice(("1", "5", "-1", "x", "9" * 30))
            message.order.lmtPrice, message.order.transmit = rng.choice((90.0, 101.0, 1e300)), True
        elif "reqId" in message.DESCRIPTOR.fields_by_name:
            message.reqId = rng.randrange(10)
        body = bytearray(message.SerializeToString())
        if body and rng.random() < 0.2:
            body[rng.randrange(len(body))] = rng.randrange(256)
        return struct.pack(">II", len(body) + 4, kind + 200) + bytes(body)

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
        async with SimulatedGateway(
            make_exchange(), rate_limit=0, sampling=0, strict_order_ids=False
        ) as gateway:
            other = await RawClient.connect(gateway, 9)
            raw = await RawClient.connect(gateway, 1)
            answered = asyncio.ensure_future(raw.reader.read())
            for _ in range(30):
                raw.writer.write(b"".join(noise() for _ in range(50)))
                await raw.writer.drain()
                await asyncio.sleep(0)
            await until(lambda: max(each.rate.total for each in gateway.sessions) > 1500, "all")
            other.ask(49)
            assert (await other.read("CurrentTime")).currentTime
            gateway.desks.accounts.tick()
            gateway.desks.history.tick()
            assert len(gateway.ledger.of("placed")) > 5
            assert [each.alive for each in gateway.sessions] == [True, True]
            raw.writer.close()
            gateway.control.drop(1)
            answered.cancel()
            other.writer.close()

    asyncio.run(asyncio.wait_for(story(), 20))
    assert raised == []
