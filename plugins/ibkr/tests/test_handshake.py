"""A connection that fails says in one error at which step, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from ibkr_lab import (
    ACCOUNTS,
    LIBRARIES,
    NEXT_ID,
    VERSION,
    Lab,
    Peer,
    Script,
    connected,
    frame,
    scripted,
    until,
)

from alluse_core.errors import BrokerUnavailable
from alluse_core.model import AccountMode, BrokerNotice, LinkReport, LinkState


def failure(script: Script, library: str, **settings: object) -> BrokerUnavailable:
    """Return the error that connecting to such a server ends with."""

    async def story() -> BrokerUnavailable:
        async with scripted(script) as port:
            lab = Lab(port=port, library=library, **settings)
            with pytest.raises(BrokerUnavailable) as caught:
                await lab.broker.connect()
            assert lab.broker.link is LinkState.DOWN
            assert lab.broker.accounts == ()
            return caught.value

    return asyncio.run(asyncio.wait_for(story(), 10))


async def _close_at_accept(peer: Peer) -> None:
    pass


async def _close_after_hello(peer: Peer) -> None:
    await peer.hello()


async def _close_after_version(peer: Peer) -> None:
    await peer.hello()
    peer.send(VERSION)


async def _close_after_start(peer: Peer) -> None:
    await peer.hello()
    peer.send(VERSION)
    await peer.message()


async def _no_accounts(peer: Peer) -> None:
    await peer.hello()
    peer.send(VERSION)
    await peer.message()
    peer.send(NEXT_ID)
    await peer.message()


async def _silent(peer: Peer) -> None:
    await peer.hello()
    await peer.message()


async def _taken(peer: Peer) -> None:
    await peer.hello()
    peer.send(VERSION)
    await peer.message()
    peer.send(frame(4, 2, -1, 326, "client id is already in use", ""))
    await peer.message()


async def _too_old(peer: Peer) -> None:
    await peer.hello()
    peer.send(frame(100, "20260105 14:30:00 UTC"))
    await peer.message()


async def _no_framing(peer: Peer) -> None:
    await peer.hello()
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await peer.message()


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("script", "words"),
    [
        (_close_at_accept, "before it answered the version handshake"),
        (_close_after_hello, "before it answered the version handshake"),
        (_close_after_version, "closed the connection"),
        (_close_after_start, "after client id 17 had started the API"),
        (_taken, "client id 17 is in use"),
        (_too_old, "too old"),
        (_no_framing, "framing is lost"),
    ],
)
def test_each_step_of_the_handshake_fails_fast_and_by_name(
    script: Script, words: str, library: str
) -> None:
    assert words in str(failure(script, library, connect_timeout=5.0))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("script", "words"),
    [
        (_silent, "silent for 0.1 s before it answered the version handshake"),
        (_no_accounts, "silent for 0.1 s after client id 17 had started the API"),
    ],
)
def test_silence_ends_with_the_time_out_of_the_setting(
    script: Script, words: str, library: str
) -> None:
    assert words in str(failure(script, library, connect_timeout=0.1))


GARBAGE = {
    "two words": frame("what", "is this"),
    "one word": frame("what"),
    "nothing": frame(),
    "an answer of the API": NEXT_ID,
    "no letters": struct.pack(">I", 3) + b"\xff\xfe\x00",
    "a long frame": struct.pack(">I", 100_000) + b"x" * 100,
    "a banner": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a version of tomorrow": frame(100_000, "20260105 14:30:00 UTC"),
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_instead_of_a_version_fails_at_once_with_one_error(
    library: str, garbage: bytes
) -> None:
    complaints: list[str] = []

    async def script(peer: Peer) -> None:
        await peer.hello()
        peer.send(garbage)
        await peer.message()
        await peer.message()

    def complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaints.append(str(context))

    async def story() -> str:
        asyncio.get_running_loop().set_exception_handler(complain)
        async with scripted(script) as port:
            lab = Lab(port=port, library=library, connect_timeout=3600.0)
            with pytest.raises(BrokerUnavailable) as caught:
                await lab.broker.connect()
            assert lab.of(LinkReport) == []
            assert caught.value.hint
            return str(caught.value)

    text = asyncio.run(asyncio.wait_for(story(), 10))
    assert "silent" not in text
    assert "sent " in text or "answered version" in text
    assert complaints == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_refused_port_is_named(library: str) -> None:
    async def story() -> str:
        async with scripted(_close_at_accept) as port:
            pass
        lab = Lab(port=port, library=library)
        with pytest.raises(BrokerUnavailable) as caught:
            await lab.broker.connect()
        assert "enable its API" in caught.value.hint
        return str(caught.value)

    assert "nothing listens on 127.0.0.1" in asyncio.run(story())


def test_a_used_client_id_for_orders_is_not_moved_and_leaves_a_notice() -> None:
    seen: list[list[str]] = []

    async def script(peer: Peer) -> None:
        await peer.hello()
        peer.send(VERSION)
        seen.append(await peer.message())
        peer.send(frame(4, 2, -1, 326, "in use", ""))

    async def story() -> None:
        async with scripted(script) as port:
            lab = Lab(port=port)
            with pytest.raises(BrokerUnavailable) as caught:
                await lab.broker.connect()
            assert "only it may change them" in caught.value.hint
            assert [notice.code for notice in lab.of(BrokerNotice)] == [326]

    asyncio.run(story())
    assert [fields[2] for fields in seen] == ["17"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_used_client_id_does_not_burn_the_time_out(library: str) -> None:
    """With error 326 the library waits its whole time-out, here an hour."""
    assert "client id 17 is in use" in str(failure(_taken, library, connect_timeout=3600.0))


def test_the_data_role_takes_the_next_free_client_id() -> None:
    async def script(peer: Peer) -> None:
        await peer.hello()
        peer.send(VERSION)
        start = await peer.message()
        if start[2] in ("18", "19"):
            peer.send(frame(4, 2, -1, 326, "in use", ""))
            return
        peer.send(ACCOUNTS, NEXT_ID)
        await peer.serve()

    async def story() -> None:
        async with scripted(script) as port:
            lab = Lab(port=port)
            async with connected(lab) as broker:
                assert broker.client_id == 17
                assert lab.sample("connection_attempts", role="data") == 3
                assert lab.sample("connects", role="data") == 1
                assert lab.of(BrokerNotice) == []

    asyncio.run(story())


@pytest.mark.parametrize("library", LIBRARIES)
def test_accounts_and_the_floor_are_known_when_connected(library: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve()

    async def story() -> None:
        async with scripted(script) as port:
            lab = Lab(port=port, library=library)
            async with connected(lab) as broker:
                assert broker.accounts == ("DU1", "DU2")
                assert broker.order_id_floor == 100
                assert broker.link is LinkState.UP
                assert lab.of(LinkReport)[0].state is LinkState.UP
                assert await broker.probe() >= 0

    asyncio.run(story())


def test_an_account_that_the_login_lacks_is_an_error() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve()

    async def story() -> None:
        async with scripted(script) as port:
            with pytest.raises(BrokerUnavailable, match="DU9 is not among DU1, DU2"):
                await Lab(port=port, account="DU9").broker.connect()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("account", "mode"),
    [
        ("DU123", AccountMode.PAPER),
        ("DF123", AccountMode.PAPER),
        ("DI123", AccountMode.PAPER),
        ("U123", AccountMode.LIVE),
        ("I123", AccountMode.LIVE),
        ("F123", AccountMode.LIVE),
        ("", AccountMode.UNKNOWN),
        ("X1", AccountMode.UNKNOWN),
    ],
)
def test_paper_or_live_is_judged_by_the_accounts_name(account: str, mode: AccountMode) -> None:
    assert Lab().broker.account_mode(account) is mode


def test_a_half_open_socket_is_noticed_within_two_heartbeats_and_the_watchdog_stays_armed() -> None:
    connections = 0

    async def script(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await peer.accept()
        if connections == 1:
            while True:
                await peer.message()
        await peer.serve()

    async def story() -> None:
        async with scripted(script) as port:
            lab = Lab(port=port, heartbeat=0.1)
            async with connected(lab) as broker:
                began = lab.clock.monotonic()
                await until(lambda: broker.link is not LinkState.UP, "the loss")
                assert lab.clock.monotonic() - began < 3 * 0.1
                await until(lambda: broker.link is LinkState.UP, "the reconnection")
                down, up = lab.of(LinkReport)[1:3]
                assert "did not answer a probe" in down.reason
                assert up.state is LinkState.UP
                assert lab.sample("connects", role="orders") == 2

    asyncio.run(story())


def test_a_length_prefix_that_cannot_be_ends_the_socket_with_bounded_memory() -> None:
    connections = 0

    async def script(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await peer.accept()
        if connections == 1:
            await peer.message()
            peer.send(struct.pack(">I", 0x7FFFFFFF) + b"x" * 100)
        await peer.serve()

    async def story() -> None:
        async with scripted(script) as port:
            lab = Lab(port=port, heartbeat=0.05)
            async with connected(lab):
                await until(lambda: len(lab.of(LinkReport)) >= 3, "down and up again")
                assert "framing is lost" in lab.of(LinkReport)[1].reason

    asyncio.run(story())


def test_a_message_that_cannot_be_read_is_counted_and_asks_for_evidence() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        peer.send(frame(3, 100, "Submitted", "not a number"), frame(5, "garbage"))
        await peer.serve()

    async def story() -> None:
        async with scripted(script) as port:
            lab = Lab(port=port)
            async with connected(lab):
                await until(lambda: len(lab.of(BrokerNotice)) >= 2, "the notices")
                assert {notice.code for notice in lab.of(BrokerNotice)} == {0}
                assert (lab.sample("decode_errors", role="orders") or 0) >= 2

    asyncio.run(story())
