"""What the client libraries do with their connection, and what becomes of it here.

Each fact of docs/explanation/what-the-libraries-do.md has two tests: one reproduces it with the
unmodified library and the simulated gateway, the other lives through the same in the adapter.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from alluse_gateway import wire
from facts_lab import bare, both, late_wire, message, module, resting, say, stock
from ibkr_lab import AAPL, Lab, connected, gateway, until

from alluse_core.clock import SystemClock
from alluse_core.errors import BrokerUnavailable, RequestFailed
from alluse_core.model import BrokerNotice, BrokerStatus, Execution, LinkState, OrderReport
from alluse_core.orders.pacing import SlidingWindowPacer

DESYNC = struct.pack(">I", 40_000) + b"5\0what follows is read as part of a message that never ends"


# --- the throttle --------------------------------------------------------------------------------


LATE = 0.03
"""Seconds by which the first messages of a burst arrive late."""


@both
def test_the_throttle_of_the_library_still_trips_the_brokers_limit(library: str) -> None:
    """The default throttle (45/s) sends bursts at window edges: over 50 in a sliding second.

    The broker counts arrivals: one burst that comes a little late meets the next.
    """

    async def story() -> None:
        async with (
            gateway(rate_limit=50) as gate,
            late_wire(gate.port) as wire,
            bare(library, wire) as ib,
        ):
            assert ib.client.MaxRequests == 45
            for _ in range(100):
                ib.client.reqCurrentTime()
            await wire.hold(LATE)
            await until(lambda: gate.ledger.of("rate"), "error 100")
            assert gate.ledger.of("rate")[0]["received"] > 50

    asyncio.run(story())


@both
def test_the_pacer_keeps_every_sliding_second_below_the_limit(library: str) -> None:
    """MaxRequests is 0 here, and the pacer spreads what is sent: lateness makes no 100."""

    async def story() -> None:
        async with gateway(rate_limit=50) as gate, late_wire(gate.port) as wire:
            pacer = SlidingWindowPacer(SystemClock(), 50)
            lab = Lab(port=wire.port, library=library, quiet=0, pacer=pacer)
            async with connected(lab) as broker:
                assert broker._orders is not None
                assert broker._orders.session.client.MaxRequests == 0
                await asyncio.gather(wire.hold(LATE), *(broker.probe() for _ in range(50)))
                peak = max(each.rate.peak for each in gate.sessions)
                assert 30 < peak <= 50
                assert gate.ledger.of("rate") == []

    asyncio.run(story())


# --- large reads ---------------------------------------------------------------------------------


@both
def test_the_library_copies_all_it_has_read_for_each_message_in_it(library: str) -> None:
    """Decoding slows 2x when reads are large (buffer re-sliced per message)."""

    async def story() -> None:
        async with gateway() as gate, bare(library, gate) as ib:
            client, left = ib.client, []
            client.decoder.interpret = lambda fields: left.append(len(client._data))
            data = b"".join(wire.message(49, 1, 1_700_000_000) for _ in range(500))
            client.conn.hasData.emit(data)
            assert len(left) == 500
            assert sum(left) > 200 * len(data)

    asyncio.run(story())


# --- a desynchronised frame ----------------------------------------------------------------------


@both
def test_the_library_stays_connected_behind_a_broken_frame_and_hears_nothing(library: str) -> None:
    """A desynchronised frame leaves the client "connected" while every request hangs."""

    async def story() -> None:
        async with gateway() as gate, bare(library, gate) as ib:
            say(gate, 5, DESYNC)
            asking = asyncio.ensure_future(ib.reqCurrentTimeAsync())
            done, _ = await asyncio.wait([asking], timeout=0.3)
            assert not done
            assert ib.isConnected()
            trade = ib.placeOrder(stock(library), resting(library))
            await until(lambda: gate.exchange.open_orders(), "the order at the broker")
            await asyncio.sleep(0.05)
            assert trade.orderStatus.status == "PendingSubmit"
            asking.cancel()

    asyncio.run(story())


@both
def test_a_broken_frame_is_noticed_by_the_probe_and_the_order_found_again(library: str) -> None:
    """A liveness probe with a deadline ends the socket; evidence is asked for on the next one."""

    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library, heartbeat=0.1, quiet=0)
            async with connected(lab) as broker:
                say(gate, 17, DESYNC)
                number = broker.order_id_floor
                broker.place([message(number, broker.accounts[0])])
                await until(lambda: broker.link is not LinkState.UP, "the probe's verdict")
                assert lab.of(OrderReport) == []
                await until(lambda: broker.link is LinkState.UP, "the reconnection")
                (row,) = (await broker.open_orders()).rows
                assert row.identity.order_ref == f"au-{number}"
                assert row.status is BrokerStatus.WORKING

    asyncio.run(story())


# --- server versions -----------------------------------------------------------------------------


def insist(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    """Have the gateway answer ``version`` whatever the client offers."""
    monkeypatch.setattr("alluse_gateway.session.handshake.negotiate", lambda *_: version)


def test_ib_insync_accepts_a_server_version_above_its_own_and_breaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Clients do not check the upper bound: ib_insync mis-sends and fails to decode (178)."""

    async def story() -> None:
        insist(monkeypatch, 178)
        async with gateway() as gate, bare("ib_insync", gate) as ib:
            assert ib.client.serverVersion() == 178 > ib.client.MaxClientVersion
            ib.placeOrder(stock("ib_insync"), resting("ib_insync"))
            await ib.reqCurrentTimeAsync()
            assert gate.ledger.of("unreadable") or not gate.exchange.open_orders()

    asyncio.run(story())


@both
def test_a_server_version_above_the_clients_own_is_refused(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter does not trade over fields that it would put in the wrong places."""

    async def story() -> None:
        highest = module(library).client.Client.MaxClientVersion
        insist(monkeypatch, highest + 1)
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            with pytest.raises(BrokerUnavailable, match=str(highest + 1)) as caught:
                await lab.broker.connect()
            assert str(highest) in str(caught.value)
            assert gate.ledger.of("place") == []

    asyncio.run(story())


@both
@pytest.mark.parametrize("version", [157, 163, 176, 178])
def test_an_order_is_filled_at_every_version_that_both_speak(library: str, version: int) -> None:
    """ib_insync 157/163/176 and ib_async 157/176/178 passed with one and the same server."""

    async def story() -> None:
        async with gateway(version=version) as gate, bare(library, gate) as ib:
            expected = min(version, ib.client.MaxClientVersion)
            assert ib.client.serverVersion() == expected
            done = ib.placeOrder(stock(library), module(library).MarketOrder("BUY", 1))
            await until(done.isDone, "the library's fill")
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                broker.place([message(broker.order_id_floor, broker.accounts[0], price=101)])
                await until(lambda: lab.of(Execution), "our fill")
                assert (await broker.define(AAPL)).min_tick > 0
                assert len((await broker.completed_orders()).rows) == 2

    asyncio.run(story())


# --- the fields of placeOrder --------------------------------------------------------------------


@both
def test_a_plain_order_is_115_fields_from_the_library_and_from_us(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """placeOrder at v176: 115 fields, identical layout; ours names tif, account and outsideRth."""
    seen: list[list[str]] = []
    fields_of = wire.fields_of

    def noting(payload: bytes) -> list[str]:
        fields = fields_of(payload)
        if fields[0] == "3":
            seen.append(fields)
        return fields

    monkeypatch.setattr("alluse_gateway.session.wire.fields_of", noting)

    async def story() -> None:
        async with gateway(version=176) as gate, bare(library, gate) as ib:
            trade = ib.placeOrder(stock(library), resting(library))
            await until(lambda: trade.orderStatus.status == "Submitted", "the acknowledgement")
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                broker.place([message(broker.order_id_floor, broker.accounts[0])])
                await until(lambda: lab.of(OrderReport), "our acknowledgement")
                account = broker.accounts[0]
        theirs, ours = seen
        assert (len(theirs), len(ours)) == (115, 115)
        assert (ours[21], ours[23], ours[33]) == ("DAY", account, "0")
        assert theirs[23] == "", "the library leaves the account to the broker"
        assert (theirs[26], ours[26][:3]) == ("mine", "au-")
        same = [n for n in range(115) if n not in (1, 19, 23, 26) and theirs[n] == ours[n]]
        assert len(same) >= 105

    asyncio.run(story())


# --- connecting ----------------------------------------------------------------------------------


@both
def test_a_used_client_id_burns_the_librarys_whole_time_out(library: str) -> None:
    """326: connectAsync still waits its whole timeout; only errorEvent and apiError say why."""

    async def story() -> None:
        async with gateway() as gate, bare(library, gate):
            ib = module(library).IB()
            codes: list[int] = []
            words: list[str] = []
            ib.errorEvent += lambda number, code, text, contract: codes.append(code)
            ib.client.apiError += words.append
            loop = asyncio.get_running_loop()
            began = loop.time()
            with pytest.raises(asyncio.TimeoutError):
                await ib.connectAsync("127.0.0.1", gate.port, clientId=5, timeout=0.3)
            assert loop.time() - began >= 0.29
            assert 326 in codes
            assert any("already in use" in text for text in words)
            ib.disconnect()

    asyncio.run(story())


@both
def test_a_used_client_id_is_named_at_once_by_the_adapter(library: str) -> None:
    """The adapter listens for 326 itself, and does not move the order role to another id."""

    async def story() -> None:
        async with gateway() as gate, bare(library, gate, client_id=17):
            lab = Lab(port=gate.port, library=library, connect_timeout=3600.0)
            with pytest.raises(BrokerUnavailable, match="client id 17 is in use"):
                await lab.broker.connect()
            assert [notice.code for notice in lab.of(BrokerNotice)] == [326]
            assert [start["client_id"] for start in gate.ledger.of("refuse")] == [17]

    asyncio.run(story())


@both
@pytest.mark.parametrize("muted", [62, 53, 102])
def test_the_library_connects_without_an_answer_and_calls_it_empty(
    library: str, muted: int
) -> None:
    """No answer to 61, 5 or 99: "request timed out" is logged and the connect still succeeds."""

    async def story() -> None:
        async with gateway() as gate:
            gate.control.mute([muted])
            loop = asyncio.get_running_loop()
            began = loop.time()
            async with bare(library, gate, timeout=0.3) as ib:
                assert loop.time() - began >= 0.29
                assert ib.isConnected()
                assert (ib.positions(), ib.trades()) == ([], [])

    asyncio.run(story())


@both
def test_without_the_end_of_executions_ib_insync_gives_up_and_ib_async_goes_on(
    library: str,
) -> None:
    """No answer to 7: ib_insync raises TimeoutError and disconnects; ib_async only logs it."""

    async def story() -> None:
        async with gateway() as gate:
            gate.control.mute([55])
            if library == "ib_async":
                async with bare(library, gate, timeout=0.3) as ib:
                    assert ib.isConnected()
                return
            with pytest.raises(asyncio.TimeoutError):
                async with bare(library, gate, timeout=0.3):
                    pass

    asyncio.run(story())


@both
def test_answers_without_their_end_are_errors_of_their_question_alone(library: str) -> None:
    """The adapter connects without asking; each question that stays open is an error, not []."""

    async def story() -> None:
        async with gateway() as gate:
            gate.control.mute([62, 53, 102, 54, 74, 55, 64])
            lab = Lab(port=gate.port, library=library, request_timeout=0.1, heartbeat=60.0)
            async with connected(lab) as broker:
                assert broker.link is LinkState.UP
                asked = await asyncio.gather(
                    broker.open_orders(),
                    broker.completed_orders(),
                    broker.executions(),
                    broker.positions(),
                    broker.account_values(),
                    return_exceptions=True,
                )
                assert [type(answer) for answer in asked] == [RequestFailed] * 5
                assert broker.link is LinkState.UP

    asyncio.run(story())


@both
@pytest.mark.parametrize("muted", [9, 15])
def test_without_the_next_id_or_the_accounts_nobody_is_connected(library: str, muted: int) -> None:
    """Ready only when both 9 and a non-empty 15 have arrived; otherwise a TimeoutError."""

    async def story() -> None:
        async with gateway() as gate:
            gate.control.mute([muted])
            with pytest.raises(asyncio.TimeoutError):
                async with bare(library, gate, timeout=0.2):
                    pass
            lab = Lab(port=gate.port, library=library, connect_timeout=0.2)
            with pytest.raises(BrokerUnavailable, match="after client id 17 had started the API"):
                await lab.broker.connect()

    asyncio.run(story())


def without_version(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the gateway leave the version out of nextValidId or managedAccounts."""
    answers: dict[str, Any] = {
        "next_valid_id": lambda number: wire.message(9, number),
        "managed_accounts": lambda names: wire.message(15, ",".join(names)),
    }
    monkeypatch.setattr(f"alluse_gateway.server.system.{kind}", answers[kind])


@both
@pytest.mark.parametrize("kind", ["next_valid_id", "managed_accounts"])
def test_a_greeting_without_its_version_field_kills_the_connect(
    library: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9 and 15 are parsed with exact arity 3: a missing version field raises and kills it.

    The adapter fails as well, in its own words and within its own time.
    """

    async def story() -> None:
        without_version(kind, monkeypatch)
        async with gateway() as gate:
            with pytest.raises((asyncio.TimeoutError, ValueError, ConnectionError)):
                async with bare(library, gate, timeout=0.2):
                    pass
            lab = Lab(port=gate.port, library=library, connect_timeout=0.2)
            with pytest.raises(BrokerUnavailable):
                await lab.broker.connect()

    asyncio.run(story())
