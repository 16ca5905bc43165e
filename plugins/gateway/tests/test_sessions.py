"""Connections: identity, faults of the transport, limits, and clients that misbehave."""

from __future__ import annotations

import asyncio
import struct

import pytest
from alluse_gateway import wire
from alluse_gateway.ports import PortInUse
from alluse_gateway.server import SimulatedGateway
from alluse_gateway.session import HIGH_WATER, Session
from gateway_lab import (
    AAPL,
    START,
    RawClient,
    client,
    library,
    make_exchange,
    opened,
    quote,
    run,
    until,
)

from alluse_core.clock import SystemClock


class SteppedClock(SystemClock):
    """The machine's clock, moved on by hand."""

    offset = 0.0

    def monotonic(self) -> float:  # type: ignore[override]
        return SystemClock.monotonic() + self.offset


def test_a_second_client_with_the_same_id_is_told_326_and_disconnected() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway, client("ib_insync", gateway) as ib:
            second = await RawClient.connect(gateway, None)
            second.send(71, 2, 1, "")
            assert (await second.read())[2:4] == ["-1", "326"]
            assert await second.rest() == b""
            assert await ib.reqCurrentTimeAsync()
            second.close()

    run(story)


@pytest.mark.parametrize("step", ["accept", "version", "start", "ready"])
def test_a_gateway_that_closes_at_each_step_of_the_handshake_is_seen_as_closed(step: str) -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            gateway.control.close_at(step)
            ib = library("ib_insync").IB()
            with pytest.raises((ConnectionError, TimeoutError, asyncio.TimeoutError)):
                await ib.connectAsync("127.0.0.1", gateway.port, clientId=3, timeout=0.3)
            ib.disconnect()
            gateway.control.close_at("")
            async with client("ib_insync", gateway, 3) as again:
                assert again.isConnected()

    run(story)


def test_a_message_that_cannot_be_read_is_answered_and_nothing_else_happens() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            raw = await RawClient.connect(gateway)
            raw.send(777, 1)
            await raw.error(505)
            raw.send(3, 12, "too", "short")
            assert (await raw.error(320))[2] == "12"
            raw.send(9, 8, 33, "not a number", *[""] * 14)
            assert (await raw.error(320))[2] == "33"
            raw.writer.write(struct.pack(">I", 2) + b"49")
            await raw.error(320)
            raw.send(49, 1)
            assert (await raw.read_until("49"))[2].isdigit()
            raw.close()

    run(story)


def test_a_frame_beyond_the_limit_ends_the_connection_and_no_other() -> None:
    async def story() -> None:
        async with (
            SimulatedGateway(make_exchange()) as gateway,
            client("ib_insync", gateway, 2) as ib,
        ):
            raw = await RawClient.connect(gateway)
            raw.writer.write(struct.pack(">I", 2**31) + b"x" * 100)
            await raw.error(507)
            assert await raw.rest() == b""
            assert await ib.reqCurrentTimeAsync()
            raw.close()

    run(story)


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"API\0\0\0\0\x03abc", b"\0" * 64])
def test_what_is_no_tws_client_is_disconnected(noise: bytes) -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            reader, writer = await opened(gateway.port)
            writer.write(noise)
            assert await reader.read() == b""
            writer.close()
            assert gateway.ledger.of("disconnect")

    run(story)


def test_segments_may_be_split_and_joined_anywhere() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            raw = await RawClient.connect(gateway)
            stream = wire.message(49, 1) * 3
            for byte in stream[:-1]:
                raw.writer.write(bytes([byte]))
                await raw.writer.drain()
                await asyncio.sleep(0)
            raw.writer.write(stream[-1:] + wire.message(8, 1, 1))
            for _ in range(3):
                await raw.read_until("49")
            assert (await raw.read_until("9"))[2] == "1"
            raw.close()

    run(story)


def test_a_burst_above_the_limit_is_one_violation_and_three_end_the_connection() -> None:
    async def story() -> None:
        clock = SteppedClock()
        async with SimulatedGateway(make_exchange(), rate_limit=20, clock=clock) as gateway:
            raw = await RawClient.connect(gateway)
            for _ in range(21):
                raw.send(49, 1)
            await raw.error(100)
            for round_ in (1, 2):
                clock.offset += 1.01
                for _ in range(25):
                    raw.send(49, 1)
                await until(lambda n=round_: len(gateway.ledger.of("rate")) > n, "a violation")
            assert b"(3)" in await raw.rest()
            assert [entry["count"] for entry in gateway.ledger.of("rate")] == [1, 2, 3]
            await until(lambda: gateway.ledger.of("disconnect"), "the end")
            assert gateway.ledger.of("disconnect")[-1]["max_messages_in_a_second"] >= 21
            raw.close()

    run(story)


def test_without_a_limit_messages_are_counted_and_let_through() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange(), rate_limit=0) as gateway:
            raw = await RawClient.connect(gateway)
            for _ in range(200):
                raw.send(49, 1)
            for _ in range(200):
                await raw.read_until("49")
            assert not gateway.ledger.of("rate")
            assert gateway.control.status()["max_messages_in_a_second"]["1"] >= 200
            raw.close()

    run(story)


def test_a_client_that_does_not_read_loses_ticks_and_no_order() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange, sampling=0, rate_limit=0) as gateway:
            raw = await RawClient.connect(gateway)
            con_id = exchange.listing(AAPL).con_id
            raw.send(1, 11, 5, con_id, *[""] * 11, 0, "", 0, 0, "")
            await raw.read_until("1")
            session: Session = next(iter(gateway.sessions))
            session.pause_writing()
            sent: list[bytes] = []
            session.outgoing.put, put = sent.append, session.outgoing.put
            quote(exchange, AAPL, 100.5, 100.6, at=START + 1)
            assert not sent
            session.outgoing.put = put
            raw.send(4, 1, 4242, "")
            await raw.error(10147)
            session.resume_writing()
            assert (await raw.read_until("1"))[2:5] == ["5", "1", "100.5"]
            raw.close()

    run(story)


def test_a_client_that_never_reads_costs_a_bounded_amount_of_memory() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange, sampling=0) as gateway:
            raw = await RawClient.connect(gateway)
            con_id = exchange.listing(AAPL).con_id
            raw.send(1, 11, 5, con_id, *[""] * 11, 0, "", 0, 0, "")
            await raw.read_until("1")
            (session,) = gateway.sessions
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
            worst = 0
            for step in range(150_000):
                quote(exchange, AAPL, 100.0 + step % 2, 102.0 + step % 2)
                if step % 500 == 0:
                    await asyncio.sleep(0)
                    assert session._transport is not None
                    worst = max(worst, session._transport.get_write_buffer_size())
            assert session.alive
            assert session.congested
            assert worst < 2 * HIGH_WATER
            raw.close()

    run(story)


def test_lines_are_limited_and_given_back() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange, lines=1) as gateway:
            raw = await RawClient.connect(gateway)
            con_id = exchange.listing(AAPL).con_id
            raw.send(1, 11, 5, con_id, *[""] * 11, 0, "", 0, 0, "")
            raw.send(1, 11, 6, con_id, *[""] * 11, 0, "", 0, 0, "")
            assert (await raw.error(101))[2] == "6"
            raw.send(1, 11, 5, con_id, *[""] * 11, 0, "", 0, 0, "")
            assert (await raw.error(102))[2] == "5"
            raw.send(2, 2, 5)
            raw.send(2, 2, 5)
            assert (await raw.error(300))[2] == "5"
            raw.send(1, 11, 7, con_id, *[""] * 11, 0, "", 0, 0, "")
            assert (await raw.read_until("58"))[2] == "7"
            raw.close()

    run(story)


def test_data_without_entitlement_is_refused_or_delayed() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange, entitled=False) as gateway:
            raw = await RawClient.connect(gateway)
            con_id = exchange.listing(AAPL).con_id
            raw.send(1, 11, 5, con_id, *[""] * 11, 0, "", 0, 0, "")
            assert (await raw.error(354))[2] == "5"
            raw.send(59, 1, 3)
            raw.send(1, 11, 6, con_id, *[""] * 11, 0, "", 0, 0, "")
            await raw.error(10167)
            assert (await raw.read_until("58"))[3] == "3"
            assert (await raw.read_until("1"))[3] == "66"
            raw.close()

    run(story)


def test_a_busy_port_is_named_with_a_way_out() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            with pytest.raises(PortInUse) as caught:
                await SimulatedGateway(make_exchange(), port=gateway.port).start()
            assert caught.value.exit_code == 4
            assert "--port 0" in caught.value.hint

    run(story)


def test_requests_before_start_api_are_passed_over() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            raw = await RawClient.connect(gateway, None)
            raw.send(49, 1)
            raw.send(71, 2, 9, "")
            assert (await raw.read())[0] == "15"
            raw.close()

    run(story)
