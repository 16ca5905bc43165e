"""What is said of the link, the farms and the socket: each code's documented reaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from ibkr_lab import AAPL, LIBRARIES, MSFT, Lab, Peer, connected, frame, scripted, until

from alluse_core.model import BrokerNotice, LinkReport, LinkState, Quote

both = pytest.mark.parametrize("library", LIBRARIES)
Body = Callable[["Terminal", Lab, list[Quote]], Coroutine[Any, Any, None]]


class Terminal:
    """A terminal that streams 10.5 on every line and says what the test has it say."""

    def __init__(self) -> None:
        self.peers: dict[str, Peer] = {}
        self.starts: list[str] = []
        self.requests: list[str] = []
        self.before_answers: dict[str, list[bytes]] = {}
        self.mute = False

    async def __call__(self, peer: Peer) -> None:
        await peer.hello()
        peer.send(frame(176, "20260105 14:30:00 UTC"))
        start = await peer.message()
        self.starts.append(start[2])
        self.peers[start[2]] = peer
        peer.send(frame(15, 1, "DU1,"), frame(9, 1, 100))
        while True:
            fields = await peer.message()
            if fields[0] == "49" and not self.mute:
                peer.send(*self.before_answers.pop(start[2], ()))
                peer.send(frame(49, 1, 1_700_000_000))
            elif fields[0] == "1":
                self.requests.append(fields[2])
                peer.send(frame(1, 6, fields[2], 1, "10.5", 100, 1))

    def say(self, code: int, text: str, number: int | str = -1, client: str = "") -> None:
        """Send an error to one client, or to all."""
        for name, peer in self.peers.items():
            if client in ("", name):
                peer.send(frame(4, 2, number, code, text, ""))


def said(code: int) -> bytes:
    """Return an error that is about nothing in particular."""
    return frame(4, 2, -1, code, "of the uplink", "")


def _settled(lab: Lab) -> bool:
    pool = lab.broker._pool
    assert pool is not None
    return all(task.done() for task in pool.uplink._passing_on.values())


def story(body: Body, library: str, **settings: Any) -> None:
    async def whole() -> None:
        terminal = Terminal()
        async with scripted(terminal) as port:
            lab = Lab(port=port, library=library, **settings)
            async with connected(lab) as broker:
                quotes: list[Quote] = []
                broker.subscribe(AAPL, quotes.append)
                await until(lambda: quotes, "a quote")
                await body(terminal, lab, quotes)

    asyncio.run(asyncio.wait_for(whole(), 20))


@both
@pytest.mark.parametrize(("code", "lost"), [(1101, True), (1102, False)])
def test_1100_gates_and_its_end_reconciles_and_1101_also_resubscribes(
    library: str, code: int, lost: bool
) -> None:
    """museum 2 (Lean.IB #249): what happened during 1100 is asked for again."""

    async def body(terminal: Terminal, lab: Lab, _: list[Quote]) -> None:
        terminal.say(1100, "Connectivity between IBKR and TWS has been lost.")
        await until(lambda: lab.broker.link is LinkState.DEGRADED, "the gate")
        await until(lambda: lab.broker._line_desk.suspended, "suspended data")
        before = len(terminal.requests)
        terminal.say(code, "Connectivity has been restored")
        await until(lambda: lab.broker.link is LinkState.UP, "the end")
        report = lab.of(LinkReport)[-1]
        assert (report.state, report.code, report.data_lost) == (LinkState.UP, code, lost)
        await until(lambda: not lab.broker._line_desk.suspended, "living data")
        await lab.broker._data.probe()
        assert (len(terminal.requests) > before) is lost
        assert terminal.starts == ["17", "18"], "the sockets are kept"

    story(body, library)


@both
@pytest.mark.parametrize(("code", "lost"), [(1101, True), (1102, False)])
def test_the_end_of_an_outage_that_only_the_data_connection_hears_opens_the_gate(
    library: str, code: int, lost: bool
) -> None:
    async def body(terminal: Terminal, lab: Lab, _: list[Quote]) -> None:
        terminal.say(1100, "Connectivity between IBKR and TWS has been lost.")
        await until(lambda: lab.broker.link is LinkState.DEGRADED, "the gate")
        await until(lambda: lab.broker._line_desk.suspended, "suspended data")
        terminal.say(code, "Connectivity has been restored", client="18")
        await until(lambda: lab.broker.link is LinkState.UP, "the end")
        report = lab.of(LinkReport)[-1]
        assert (report.state, report.code, report.data_lost) == (LinkState.UP, code, lost)
        assert "said to the data connection alone" in report.reason
        assert terminal.starts == ["17", "18"], "the sockets are kept"

    story(body, library)


@both
def test_an_end_that_both_connections_hear_is_reported_once(library: str) -> None:
    async def body(terminal: Terminal, lab: Lab, _: list[Quote]) -> None:
        terminal.say(1100, "Connectivity between IBKR and TWS has been lost.")
        await until(lambda: lab.broker._line_desk.suspended, "suspended data")
        terminal.before_answers["17"] = [said(1102)]
        terminal.say(1102, "Connectivity has been restored", client="18")
        await until(lambda: lab.broker.link is LinkState.UP, "the end")
        await until(lambda: _settled(lab), "the end of the questions")
        lost, back = lab.of(LinkReport)[-2:]
        assert (lost.state, back.state) == (LinkState.DEGRADED, LinkState.UP)
        assert back.reason == "of the uplink", "the orders' own connection was asked first"

    story(body, library)


@both
def test_the_end_of_an_earlier_outage_opens_no_gate_in_a_later_one(library: str) -> None:
    """The data connection lags: it tells of the first end while the orders know of a new loss."""

    async def body(terminal: Terminal, lab: Lab, _: list[Quote]) -> None:
        terminal.say(1100, "Connectivity between IBKR and TWS has been lost.")
        await until(lambda: lab.broker._line_desk.suspended, "suspended data")
        terminal.say(1102, "Connectivity has been restored", client="17")
        await until(lambda: lab.broker.link is LinkState.UP, "the first end")
        terminal.say(1100, "Connectivity between IBKR and TWS has been lost.", client="17")
        await until(lambda: lab.broker.link is LinkState.DEGRADED, "the second loss")
        terminal.before_answers["18"] = [said(1100)]
        terminal.say(1102, "Connectivity has been restored", client="18")
        await until(lambda: not terminal.before_answers, "the late word of the second loss")
        await lab.broker._data.probe()
        await until(lambda: _settled(lab), "the end of the questions")
        assert lab.broker.link is LinkState.DEGRADED
        terminal.say(1102, "Connectivity has been restored")
        await until(lambda: lab.broker.link is LinkState.UP, "the second end")

    story(body, library)


@both
def test_a_farm_flap_marks_data_and_touches_neither_orders_nor_sockets_nor_lines(
    library: str,
) -> None:
    """museum 12 (nautilus PR #4412): over-reaction to a farm flap."""

    async def body(terminal: Terminal, lab: Lab, _: list[Quote]) -> None:
        reports, before = len(lab.of(LinkReport)), list(terminal.requests)
        for _flap in range(5):
            terminal.say(2103, "Market data farm connection is broken:usfarm")
            await until(lambda: lab.broker._line_desk.suspended, "the loss")
            terminal.say(2104, "Market data farm connection is OK:usfarm")
            await until(lambda: not lab.broker._line_desk.suspended, "the end")
        assert terminal.requests == before
        assert len(lab.of(LinkReport)) == reports
        assert terminal.starts == ["17", "18"]
        assert lab.broker.link is LinkState.UP

    story(body, library)


@both
@pytest.mark.parametrize("code", [2103, 2110, 2157])
def test_a_broken_farm_or_uplink_makes_quotes_age_until_it_is_well(library: str, code: int) -> None:
    async def body(terminal: Terminal, lab: Lab, quotes: list[Quote]) -> None:
        stream = lab.broker.subscribe(AAPL, quotes.append)
        terminal.say(code, "connection is broken:usfarm")
        await until(lambda: lab.broker._line_desk.suspended, "the loss")
        alive = stream.alive_at
        await lab.broker._data.probe()
        assert stream.alive_at == alive
        terminal.say(2104, "Market data farm connection is OK:usfarm")
        await until(lambda: not lab.broker._line_desk.suspended, "the end")
        await lab.broker._data.probe()
        assert stream.alive_at > alive

    story(body, library)


@both
def test_2105_is_about_history_and_leaves_quotes_fresh(library: str) -> None:
    async def body(terminal: Terminal, lab: Lab, quotes: list[Quote]) -> None:
        stream = lab.broker.subscribe(AAPL, quotes.append)
        terminal.say(2105, "HMDS data farm connection is broken:ushmds")
        await lab.broker._data.probe()
        alive = stream.alive_at
        await lab.broker._data.probe()
        assert not lab.broker._line_desk.suspended
        assert stream.alive_at > alive
        assert lab.broker.link is LinkState.UP

    story(body, library)


@both
@pytest.mark.parametrize("code", [504, 507])
def test_a_word_about_the_socket_ends_it_and_makes_it_anew(library: str, code: int) -> None:
    async def body(terminal: Terminal, lab: Lab, _: list[Quote]) -> None:
        terminal.say(code, "Not connected", client="17")
        await until(lambda: lab.sample("connects", role="orders") == 2, "the next socket")
        assert f"said {code}" in lab.of(LinkReport)[1].reason
        assert lab.sample("connects", role="data") == 1

    story(body, library)


@both
def test_1300_moves_to_the_new_port_and_back_where_that_one_is_gone(library: str) -> None:
    async def whole() -> None:
        old, new = Terminal(), Terminal()
        async with scripted(old) as port:
            lab = Lab(port=port, library=library)
            async with scripted(new) as other, connected(lab) as broker:
                text = f"TWS socket port has been reset. Please reconnect on port {other}"
                old.say(1300, text)
                await until(lambda: len(new.starts) == 2, "both connections there")
                await until(lambda: broker.link is LinkState.UP, "the link")
                assert sorted(new.starts) == ["17", "18"]
                assert old.starts == ["17", "18"]
                # The terminal was started anew and listens where its settings say.
                broker._pool.orders._endpoint.port = broker._pool.orders._endpoint._told = 1
                broker._orders.session.drop("by the test")
                await until(lambda: len(old.starts) > 2, "the port of the settings")
                await until(lambda: broker.link is LinkState.UP, "the link")

    asyncio.run(asyncio.wait_for(whole(), 20))


@both
@pytest.mark.parametrize("code", [10182, 10197])
def test_a_stream_that_failed_is_asked_for_again_and_the_others_stay(
    library: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alluse_ibkr.lines._RETRY_SECONDS", 0.02)

    async def body(terminal: Terminal, lab: Lab, quotes: list[Quote]) -> None:
        lab.broker.subscribe(MSFT, quotes.append)
        await until(lambda: len(terminal.requests) == 2, "two lines")
        number = terminal.requests[0]
        terminal.say(code, "Failed to request live updates (disconnected).", number, "18")
        await until(lambda: len(terminal.requests) == 3, "the resubscription")
        await lab.broker._data.probe()
        assert len(terminal.requests) == 3
        assert [notice.code for notice in lab.of(BrokerNotice)] == [code]
        assert lab.broker.link is LinkState.UP

    story(body, library)


@both
def test_the_watchdog_stays_armed_while_the_link_is_down_and_after_its_own_failure(
    library: str,
) -> None:
    """museum 3 (Lean.IB #246): the heartbeat was disabled by the disconnection itself."""

    async def body(terminal: Terminal, lab: Lab, _: list[Quote]) -> None:
        orders = lab.broker._orders
        for turn in range(2, 5):
            terminal.mute = True
            await until(lambda: not orders.ready, "the silence noticed")
            assert orders._watchdog is not None
            assert not orders._watchdog.done()
            terminal.mute = False
            wanted = float(turn)
            await until(
                lambda wanted=wanted: (lab.sample("connects", role="orders") or 0) >= wanted,
                "a socket",
            )
        failing = orders._round_trip

        async def broken(*_: Any) -> float:
            orders._round_trip = failing
            raise ZeroDivisionError("a defect of the watchdog")

        orders._round_trip = broken
        await until(lambda: lab.sample("watchdog_failures", role="orders") == 1, "the defect")
        await until(lambda: orders.ready, "a socket after the defect")
        assert not orders._watchdog.done()

    story(body, library, heartbeat=0.05, quiet=0.0)
