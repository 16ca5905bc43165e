"""Roles, their client ids, leases, the warm spare, and what becomes of an id that misbehaves."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from alluse_ibkr import connection, roles, strikes
from alluse_ibkr.client_ids import TWS_CLIENTS, ClientIdLocks, ClientIdTaken
from alluse_ibkr.lease import StaleLease
from alluse_ibkr.meters import RoleMeters, WorkingTime
from alluse_ibkr.settings import MAX_CONNECTIONS, IbkrSettings
from alluse_ibkr.strikes import Strikes
from ibkr_lab import (
    AAPL,
    LIBRARIES,
    MSFT,
    Lab,
    Peer,
    connected,
    frame,
    gateway,
    scripted,
    show,
    until,
)

from alluse_core.errors import BrokerUnavailable, SettingsError
from alluse_core.model import BrokerNotice, LinkReport, LinkState, Quote
from alluse_core.ports import Priority
from alluse_core.telemetry import Registry
from alluse_core.testing import VirtualClock

both = pytest.mark.parametrize("library", LIBRARIES)
VERSION_176 = frame(176, "20260105 14:30:00 UTC")
IN_USE = frame(4, 2, -1, 326, "client id is already in use", "")


# --- the plan ------------------------------------------------------------------------------------


def test_a_login_makes_two_connections_by_default() -> None:
    made = roles.plan(IbkrSettings())
    assert [(role.name, role.client_ids[0]) for role in made] == [("orders", 17), ("data", 18)]
    assert made[0].client_ids == (17,)


def test_no_two_roles_ever_try_the_same_client_id() -> None:
    settings = IbkrSettings(
        client_id=3,
        data_client_id=1,
        data_spare=True,
        history_connections=10,
        contract_connections=11,
        watcher=True,
    )
    made = roles.plan(settings)
    ids = [each for role in made for each in role.client_ids]
    assert len(made) == MAX_CONNECTIONS == 25
    assert len(ids) == len(set(ids))


def test_more_than_25_connections_are_refused() -> None:
    with pytest.raises(SettingsError, match="at most 21 together"):
        IbkrSettings(history_connections=11, contract_connections=11)


@both
def test_every_role_gets_a_connection_and_its_own_figures(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(
                port=gate.port,
                library=library,
                data_spare=True,
                history_connections=1,
                contract_connections=1,
                watcher=True,
            )
            async with connected(lab) as broker:
                await until(lambda: all(each.ready for each in broker._pool), "six connections")
                assert len(gate.control.status()["clients"]) == 6
                await broker.define(AAPL)
                await broker.snapshots([AAPL])
                assert lab.sample("connection_leases", role="contracts") == 2
                assert lab.sample("connection_leases", role="data") == 1
                for role in ("orders", "data", "history", "contracts", "watcher"):
                    assert (lab.sample("session_working_share", role=role) or 0) > 0
                assert lab.sample("connection_reuse_ratio", role="contracts") == 50.0
                gate.control.drop(broker._pool.contracts.connection.client_id, abort=True)
                await until(lambda: broker._pool.contracts.connection is broker._data, "the loss")
                await broker.define(MSFT)

    asyncio.run(story())


# --- leases --------------------------------------------------------------------------------------


@both
def test_work_under_the_lease_of_a_lost_socket_is_refused_and_not_sent(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                old = broker._data.lease()
                assert old.valid
                gate.control.drop(18, abort=True)
                await until(lambda: lab.sample("connects", role="data") == 2, "the next socket")
                assert not old.valid
                sent = lab.sample("messages_sent", role="data")
                with pytest.raises(StaleLease, match="nothing was sent"):
                    old.client.reqCurrentTime()
                await broker._data.tell(lambda client: client.reqCurrentTime(), old)
                assert lab.sample("messages_sent", role="data") == sent
                assert broker._data.lease().token > old.token

    asyncio.run(story())


def test_a_stream_closed_before_a_reconnect_is_not_cancelled_on_the_next_socket() -> None:
    cancels: list[str] = []

    async def server(peer: Peer) -> None:
        await peer.hello()
        peer.send(VERSION_176)
        await peer.message()
        peer.send(frame(15, 1, "DU1,"), frame(9, 1, 100))
        while True:
            fields = await peer.message()
            if fields[0] == "49":
                peer.send(frame(49, 1, 1_700_000_000))
            elif fields[0] == "1":
                peer.send(frame(1, 6, fields[2], 1, "10.5", 100, 1))
            elif fields[0] == "2":
                cancels.append(fields[2])

    async def story() -> None:
        async with scripted(server) as port:
            lab = Lab(port=port)
            async with connected(lab) as broker:
                seen: list[Quote] = []
                stream = broker.subscribe(AAPL, seen.append)
                await until(lambda: seen, "a quote")
                # The cancel waits for its turn while the socket goes.
                stream.close()
                broker._data.session.drop("by the test")
                await until(lambda: lab.sample("connects", role="data") == 2, "the next socket")
                await broker._data.probe()
                assert cancels == []

    asyncio.run(story())


# --- the spare -----------------------------------------------------------------------------------


@both
def test_the_spare_takes_the_lines_over_at_once_when_the_data_connection_drops(
    library: str,
) -> None:
    async def story() -> None:
        async with gateway() as gate:
            # A reconnect would take an hour: only the spare can bring the next quote.
            lab = Lab(
                port=gate.port,
                library=library,
                data_spare=True,
                reconnect_min=3600.0,
                reconnect_max=3600.0,
            )
            async with connected(lab) as broker:
                first, spare = broker._pool._of("data")[0], broker._pool._of("spare")[0]
                # The spare is made by its watchdog, whose first wait is that hour.
                await spare._connect()
                seen: list[Quote] = []
                broker.subscribe(AAPL, seen.append)
                await until(lambda: seen, "a quote")
                old = first.lease()
                gate.control.drop(first.client_id, abort=True)
                await until(lambda: broker._data is spare, "the takeover")
                before = len(seen)
                show(gate.exchange, AAPL, 101.0, 101.1)
                await until(lambda: len(seen) > before and seen[-1].bid == 101.0, "a quote")
                assert not old.valid
                assert broker.link is LinkState.UP
                assert lab.sample("takeovers") == 1
                assert lab.sample("connects", role="data") == 1

    asyncio.run(story())


@both
def test_a_takeover_does_not_call_a_broken_farm_well(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library, data_spare=True)
            async with connected(lab) as broker:
                spare = broker._pool._of("spare")[0]
                await until(lambda: spare.ready, "the spare")
                seen: list[Quote] = []
                stream = broker.subscribe(AAPL, seen.append)
                await until(lambda: seen, "a quote")
                gate.control.broadcast(2103)
                await until(lambda: broker._line_desk.suspended, "the farm's loss")
                gate.faults.close_at = "accept"
                gate.control.drop(broker._data.client_id, abort=True)
                await until(lambda: broker._data is spare, "the takeover")
                # The new request is answered with the type of its data, which is life of its own.
                await until(lambda: broker._line_desk._is_live(stream._line), "the request")
                await spare.probe()
                alive = stream.alive_at
                await spare.probe()
                assert broker._line_desk.suspended
                assert stream.alive_at == alive

    asyncio.run(story())


@both
def test_the_lost_data_connection_is_the_spare_when_it_is_back(library: str) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library, data_spare=True)
            async with connected(lab) as broker:
                first, spare = broker._pool._of("data")[0], broker._pool._of("spare")[0]
                await until(lambda: spare.ready, "the spare")
                seen: list[Quote] = []
                broker.subscribe(AAPL, seen.append)
                await until(lambda: seen, "a quote")
                for serving, other in ((first, spare), (spare, first)):
                    assert broker._data is serving
                    await until(lambda other=other: other.ready, "a warm spare")
                    gate.control.drop(serving.client_id, abort=True)
                    await until(lambda other=other: broker._data is other, "the takeover")
                show(gate.exchange, AAPL, 102.0, 102.1)
                await until(lambda: seen[-1].bid == 102.0, "a quote after two takeovers")

    asyncio.run(story())


def test_a_role_works_while_any_connection_of_it_does() -> None:
    async def story() -> None:
        clock = VirtualClock()
        role, registry = WorkingTime(clock), Registry()
        one = RoleMeters(registry, clock, "main", "data", [role])
        two = RoleMeters(registry, clock, "main", "spare", [role])
        assert role.share() is None
        one.began()
        one.up()
        await clock.advance(10.0)
        two.up()
        one.down()
        await clock.advance(10.0)
        assert role.share() == 100.0
        two.down()
        two.down()
        await clock.advance(20.0)
        assert role.share() == 50.0

    asyncio.run(story())


# --- client ids ----------------------------------------------------------------------------------


def test_a_client_id_is_one_processs_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from alluse_ibkr.client_ids import ClientIdLocks\n"
        "locks = ClientIdLocks(pathlib.Path(sys.argv[1]), 'localhost', 4002)\n"
        "locks.take(17)\n"
        "print('taken', flush=True)\n"
        "sys.stdin.read()\n"
    )
    locks = ClientIdLocks(tmp_path / "ids", "localhost", 4002)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "ids")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        with pytest.raises(ClientIdTaken, match=f"client id 17 .* process {other.pid}"):
            locks.take(17)
        elsewhere = ClientIdLocks(tmp_path / "ids", "localhost", 7497)
        elsewhere.take(17)
        elsewhere.close()
        locks.take(18)
        other.kill()
    locks.take(17)
    assert locks.held == {17, 18}
    locks.close()


def test_no_more_client_ids_are_reserved_than_a_tws_takes(tmp_path: Path) -> None:
    many = ClientIdLocks(tmp_path, "localhost", 4002)
    for client_id in range(TWS_CLIENTS):
        many.take(client_id)
    one = ClientIdLocks(tmp_path, "localhost", 4002)
    with pytest.raises(ClientIdTaken, match="32 client ids"):
        one.take(100)
    many.give(5)
    one.take(100)
    many.close()
    one.close()


@both
def test_two_brokers_on_one_state_take_different_ids_for_data_and_not_one_for_orders(
    library: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with gateway() as gate:
            first = Lab(port=gate.port, library=library, client_id_dir=str(tmp_path))
            async with connected(first):
                same = Lab(port=gate.port, library=library, client_id_dir=str(tmp_path))
                with pytest.raises(BrokerUnavailable, match=r"client id 17 .* in use by process"):
                    await same.broker.connect()
                assert gate.ledger.of("refuse") == []
                other = Lab(
                    port=gate.port,
                    library=library,
                    client_id_dir=str(tmp_path),
                    client_id=30,
                    data_client_id=18,
                )
                async with connected(other) as broker:
                    assert broker._data.client_id == 19
                    assert gate.ledger.of("refuse") == []

    asyncio.run(story())


@both
def test_at_the_start_a_taken_id_is_waited_for_within_the_patience(library: str) -> None:
    tries: list[str] = []

    async def server(peer: Peer) -> None:
        await peer.hello()
        peer.send(VERSION_176)
        start = await peer.message()
        tries.append(start[2])
        if tries.count("17") < 3:
            peer.send(IN_USE)
            return
        peer.send(frame(15, 1, "DU1,"), frame(9, 1, 100))
        await peer.serve()

    async def story() -> None:
        async with scripted(server) as port:
            lab = Lab(port=port, library=library, client_id_patience=30.0)
            async with connected(lab) as broker:
                assert broker.client_id == 17
                assert tries[:3] == ["17", "17", "17"]
                assert lab.of(BrokerNotice) == []

    asyncio.run(story())


@both
def test_an_order_id_taken_after_a_drop_gates_and_alarms_once_and_never_moves(
    library: str,
) -> None:
    """museum 12: over-reaction to 326. Only what outlasts the patience is told to a person."""
    tries: list[str] = []
    free = True

    async def server(peer: Peer) -> None:
        await peer.hello()
        peer.send(VERSION_176)
        start = await peer.message()
        if start[2] == "17":
            tries.append(start[2])
            if not free:
                peer.send(IN_USE)
                return
        peer.send(frame(15, 1, "DU1,"), frame(9, 1, 100))
        await peer.serve()

    async def story() -> None:
        nonlocal free
        async with scripted(server) as port:
            lab = Lab(port=port, library=library, client_id_patience=0.05, reconnect_max=0.02)
            async with connected(lab) as broker:
                free = False
                broker._orders.session.drop("by the test")
                await until(lambda: lab.of(BrokerNotice), "the alarm")
                before = len(tries)
                await until(lambda: len(tries) > before + 3, "more tries")
                assert [notice.code for notice in lab.of(BrokerNotice)] == [326]
                assert broker.link in (LinkState.DOWN, LinkState.CONNECTING)
                assert broker._data.ready
                free = True
                await until(lambda: broker.link is LinkState.UP, "the id")
                assert broker.client_id == 17
                assert [each.state for each in lab.of(LinkReport)][-1] is LinkState.UP

    asyncio.run(story())


# --- retirement ----------------------------------------------------------------------------------


def test_faults_of_one_kind_within_the_window_are_a_verdict_and_old_ones_are_not() -> None:
    faults = Strikes()
    faults.add(strikes.FRAMING, 0.0)
    faults.add(strikes.MUTE, 1.0)
    faults.add(strikes.FRAMING, 2.0)
    assert faults.verdict(2.0) == ""
    faults.add(strikes.FRAMING, strikes.WINDOW + 1.0)
    assert faults.verdict(strikes.WINDOW + 1.0) == ""
    faults.add(strikes.FRAMING, strikes.WINDOW + 1.5)
    assert "framing was lost 3 times" in faults.verdict(strikes.WINDOW + 1.5)
    for second in range(strikes.UNREADABLE_ALLOWED - 1):
        faults.add(strikes.UNREADABLE, 5000.0 + second)
    assert faults.verdict(5000.0 + 20) == ""
    faults.add(strikes.UNREADABLE, 5020.0)
    assert "unreadable 20 times" in faults.verdict(5020.0)


@both
def test_a_data_id_whose_framing_breaks_again_and_again_is_retired_for_another(
    library: str, caplog: pytest.LogCaptureFixture
) -> None:
    served: list[str] = []

    async def server(peer: Peer) -> None:
        await peer.hello()
        peer.send(VERSION_176)
        start = await peer.message()
        served.append(start[2])
        peer.send(frame(15, 1, "DU1,"), frame(9, 1, 100))
        if start[2] == "18":
            await peer.message()
            peer.send(b"\x7f\xff\xff\xff" + b"x" * 100)
        await peer.serve()

    async def story() -> None:
        async with scripted(server) as port:
            lab = Lab(port=port, library=library, heartbeat=0.02)
            async with connected(lab) as broker:
                data = broker._data
                await until(lambda: data.ready and data.client_id == 19, "the next id")
                assert served.count("18") == strikes.ALLOWED
                assert "framing" in broker._data.retired[18]
                assert lab.sample("connections_retired", role="data") == 1
                assert broker.link is LinkState.UP

    asyncio.run(story())
    assert "client id 18 of the data connection is retired" in caplog.text


def test_a_role_without_another_id_tries_on_slowly_and_orders_keep_their_id_and_pace() -> None:
    clock = VirtualClock()
    lab = Lab(clock, reconnect_max=30.0)

    async def story() -> None:
        lab.broker._build()
        data = lab.broker._data
        for client_id in data._client_ids:
            for _ in range(strikes.ALLOWED):
                data._struck(client_id, strikes.FRAMING)
        assert "framing was lost" in data.quarantined
        assert data.retired == {}
        assert data._pause(False) == connection.QUARANTINE
        orders = lab.broker._orders
        for _ in range(strikes.ALLOWED):
            orders._struck(17, strikes.MUTE)
        assert orders.client_id == 17
        assert "stopped answering" in orders.quarantined
        assert orders._pause(False) <= 0.02
        assert orders._pause(True) == 30.0
        await lab.broker.close()

    asyncio.run(story())


def test_reconnects_of_two_clients_do_not_fall_on_the_same_moments() -> None:
    one = strikes.Backoff(1.0, 30.0, Random(17))
    other = strikes.Backoff(1.0, 30.0, Random(18))
    waits = [(one.next(), other.next()) for _ in range(8)]
    assert all(mine != theirs for mine, theirs in waits)
    ceilings = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0)
    for (mine, _), most in zip(waits, ceilings, strict=True):
        assert most / 2 <= mine <= most
    one.reset()
    assert one.next() <= 1.0


class ShutPacer:
    """Never gives a turn."""

    async def turn(self, priority: Priority, messages: int = 1) -> float:
        await asyncio.Event().wait()
        return 0.0


@both
def test_a_connect_given_up_while_it_waits_for_its_turn_leaves_no_socket_behind(
    library: str,
) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library, pacer=ShutPacer())
            connecting = asyncio.ensure_future(lab.broker.connect())
            await until(lambda: gate.ledger.of("start"), "a client that has started")
            await asyncio.sleep(0.1)
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            assert connecting.cancelled()
            started = len(gate.ledger.of("start"))
            await until(lambda: len(gate.ledger.of("disconnect")) == started, "its end")

    asyncio.run(asyncio.wait_for(story(), 20))
