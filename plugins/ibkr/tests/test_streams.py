"""What a data connection may say of a stream, by a scripted server: sentinels, halts, refusals."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from ibkr_lab import AAPL, LIBRARIES, MSFT, Lab, Peer, connected, frame, scripted, until

from alluse_core.errors import RequestFailed
from alluse_core.model import BrokerNotice, DataType, LinkReport, LinkState, Quote
from alluse_core.settings import ErrorRule, RuleClass
from alluse_core.testing import VirtualClock

both = pytest.mark.parametrize("library", LIBRARIES)
UNSET = "1.7976931348623157E308"


class Feed:
    """A server that answers each market data request with what the test has it say."""

    def __init__(self, answer: Callable[[str, bool], bytes]) -> None:
        self.answer = answer
        self.requests: list[str] = []
        self.cancels: list[str] = []
        self.types: list[str] = []
        self.peers: list[Peer] = []

    async def __call__(self, peer: Peer) -> None:
        await peer.hello()
        peer.send(frame(176, "20260105 14:30:00 UTC"))
        start = await peer.message()
        peer.send(frame(15, 1, "DU1,"), frame(9, 1, 100))
        if start[2] == "18":
            self.peers.append(peer)
        while True:
            fields = await peer.message()
            if fields[0] == "49":
                peer.send(frame(49, 1, 1_700_000_000))
            elif fields[0] == "1":
                self.requests.append(fields[2])
                # After CONTRACT12 and the delta-neutral flag: generic ticks, snapshot, regulatory.
                assert fields[18] == "0", "a regulatory snapshot costs money"
                peer.send(self.answer(fields[2], fields[17] == "1"))
            elif fields[0] == "2":
                self.cancels.append(fields[2])
            elif fields[0] == "59":
                self.types.append(fields[2])


def story(
    feed: Feed,
    body: Callable[[Lab, list[Quote]], Coroutine[Any, Any, None]],
    **settings: Any,
) -> None:
    """Run ``body`` with a broker connected to ``feed``."""

    async def whole() -> None:
        async with scripted(feed) as port:
            lab = Lab(port=port, **settings)
            async with connected(lab):
                await body(lab, [])

    asyncio.run(asyncio.wait_for(whole(), 20))


@both
def test_every_kind_of_tick_finds_its_place_and_one_read_gives_one_quote(library: str) -> None:
    def answer(number: str, _: bool) -> bytes:
        return b"".join(
            [
                frame(58, 1, number, 1),
                frame(1, 6, number, 1, "99.5", 300, 1),
                frame(1, 6, number, 2, "99.7", 200, 1),
                frame(1, 6, number, 4, "99.6", 50, 0),
                frame(2, 6, number, 8, 12345),
                frame(2, 6, number, 0, 301),
                frame(46, 6, number, 45, "1700000000"),
                frame(46, 6, number, 84, "Q"),
                frame(45, 6, number, 49, "0.0"),
                frame(45, 6, number, 24, "0.3"),
                frame(81, number, "0.01", "a6", 3),
                frame(21, number, 13, 0, "0.2", "-2", "-1", "-1", "-2", "-2", "-2", "-1"),
            ]
        )

    async def body(lab: Lab, quotes: list[Quote]) -> None:
        lab.broker.subscribe(AAPL, quotes.append)
        await until(lambda: quotes, "a quote")
        quote = quotes[-1]
        assert (quote.bid, quote.ask, quote.last) == (99.5, 99.7, 99.6)
        assert (quote.bid_size, quote.ask_size, quote.last_size) == (301, 200, 50)
        assert quote.volume == 12345
        assert quote.time == datetime.fromtimestamp(1_700_000_000, UTC)
        assert quote.data_type is DataType.LIVE
        assert not quote.halted
        assert len(quotes) == 1
        assert (lab.sample("ticks_in", role="data") or 0) >= 9
        assert lab.sample("decode_errors", role="data") == 0

    story(Feed(answer), body, library=library)


def test_sentinels_become_absent_and_a_halt_is_not_stale_data() -> None:
    def answer(number: str, _: bool) -> bytes:
        return b"".join(
            [
                frame(1, 6, number, 1, "-1.0", 0, 1),
                frame(1, 6, number, 2, UNSET, 0, 1),
                frame(1, 6, number, 4, "0", 0, 0),
                frame(45, 6, number, 49, "1.0"),
            ]
        )

    async def body(lab: Lab, quotes: list[Quote]) -> None:
        stream = lab.broker.subscribe(AAPL, quotes.append)
        await until(lambda: quotes, "a quote")
        quote = quotes[-1]
        assert all(map(math.isnan, (quote.bid, quote.ask, quote.last, quote.bid_size)))
        assert quote.halted
        assert not quote.priceable
        alive = stream.alive_at
        await lab.broker._lookup._connection.probe()
        assert stream.alive_at > alive

    story(Feed(answer), body)


def test_a_type_alone_is_a_sign_of_life_and_not_a_quote() -> None:
    async def body(lab: Lab, quotes: list[Quote]) -> None:
        stream = lab.broker.subscribe(AAPL, quotes.append)
        await until(lambda: not math.isnan(stream.alive_at), "a sign of life")
        assert quotes == []

    story(Feed(lambda number, _: frame(58, 1, number, 1)), body)


def test_delayed_and_frozen_are_carried_with_the_value() -> None:
    def answer(number: str, _: bool) -> bytes:
        return frame(58, 1, number, 4) + frame(1, 6, number, 66, "10.5", 100, 1)

    feed = Feed(answer)

    async def body(lab: Lab, quotes: list[Quote]) -> None:
        lab.broker.subscribe(AAPL, quotes.append)
        await until(lambda: quotes, "a quote")
        assert (quotes[-1].bid, quotes[-1].data_type) == (10.5, DataType.DELAYED_FROZEN)
        assert feed.types == ["4"]

    story(feed, body, market_data_type=4)


@pytest.mark.parametrize("code", [354, 10089, 200, 321, 162, 99_999])
def test_a_refused_stream_is_a_notice_and_not_alive(code: int) -> None:
    async def body(lab: Lab, quotes: list[Quote]) -> None:
        stream = lab.broker.subscribe(AAPL, quotes.append)
        await until(lambda: lab.of(BrokerNotice), "the notice")
        assert lab.of(BrokerNotice)[-1].code == code
        assert lab.of(BrokerNotice)[-1].identity is None
        assert f"code {code}" in stream.refused
        assert math.isnan(stream.alive_at)

    story(Feed(lambda number, _: frame(4, 2, number, code, "no", "")), body)


def test_a_notice_about_a_stream_that_goes_on_does_not_end_it() -> None:
    def answer(number: str, _: bool) -> bytes:
        return (
            frame(4, 2, number, 10167, "delayed", "")
            + frame(4, 2, number, 10090, "in part", "")
            + frame(1, 6, number, 1, "10.5", 100, 1)
        )

    async def body(lab: Lab, quotes: list[Quote]) -> None:
        stream = lab.broker.subscribe(AAPL, quotes.append)
        await until(lambda: quotes, "a quote")
        assert stream.refused == ""

    story(Feed(answer), body)


def test_a_users_rule_decides_whether_a_code_ends_a_stream() -> None:
    rules = (
        ErrorRule((99_998,), RuleClass.INFO, "a greeting of our data vendor"),
        ErrorRule((165,), RuleClass.STREAM, "for us the end of it", text="entitlement"),
    )

    def answer(number: str, _: bool) -> bytes:
        return frame(4, 2, number, 99_998, "hello", "") + frame(
            4, 2, number, 165, "no entitlement", ""
        )

    async def body(lab: Lab, quotes: list[Quote]) -> None:
        stream = lab.broker.subscribe(AAPL, quotes.append)
        await until(lambda: len(lab.of(BrokerNotice)) == 2, "both notices")
        assert stream.refused == "no entitlement (code 165)"

    story(Feed(answer), body, errors=rules)


@pytest.mark.parametrize("code", [10182, 10197])
def test_a_stream_that_failed_is_asked_for_again_after_a_while(code: int) -> None:
    asked = 0

    def answer(number: str, _: bool) -> bytes:
        nonlocal asked
        asked += 1
        if asked == 1:
            return frame(4, 2, number, code, "failed", "")
        return frame(1, 6, number, 1, "10.5", 100, 1)

    clock = VirtualClock()

    async def body(lab: Lab, quotes: list[Quote]) -> None:
        stream = lab.broker.subscribe(AAPL, quotes.append)
        await until(lambda: stream.refused, "the failure")
        assert code in [notice.code for notice in lab.of(BrokerNotice)]
        await clock.advance(4)
        assert asked == 1
        await clock.advance(2)
        await until(lambda: quotes, "a quote")
        assert stream.refused == ""

    story(Feed(answer), body, clock=clock, heartbeat=3600.0)


def test_a_snapshot_without_an_end_or_with_a_refusal_is_missing() -> None:
    def answer(number: str, _: bool) -> bytes:
        if int(number) % 2:
            return frame(4, 2, number, 354, "not subscribed", "")
        return frame(1, 6, number, 1, "10.5", 100, 1)

    async def body(lab: Lab, _: list[Quote]) -> None:
        assert await lab.broker.snapshots([AAPL, MSFT]) == {}
        assert 354 in [notice.code for notice in lab.of(BrokerNotice)]
        assert lab.sample("lines_in_use") == 0

    story(Feed(answer), body, request_timeout=0.1)


def test_snapshots_wait_for_lines_and_never_take_more_than_there_are() -> None:
    open_now: set[str] = set()
    most = 0

    def answer(number: str, snapshot: bool) -> bytes:
        nonlocal most
        assert snapshot
        open_now.add(number)
        most = max(most, len(open_now))
        open_now.discard(number)
        return frame(1, 6, number, 1, "10.5", 100, 1) + frame(57, 1, number)

    async def body(lab: Lab, quotes: list[Quote]) -> None:
        from alluse_core.model import Instrument

        many = [Instrument.stock(f"S{n}") for n in range(10)]
        one, two = await asyncio.gather(
            lab.broker.snapshots(many[:5]), lab.broker.snapshots(many[5:])
        )
        assert len(one) + len(two) == 10
        lab.broker.subscribe(AAPL, quotes.append)
        lab.broker.subscribe(MSFT, quotes.append)
        with pytest.raises(RequestFailed) as caught:
            await lab.broker.snapshots(many)
        assert caught.value.code == 101

    feed = Feed(answer)
    feed.answer = lambda number, snapshot: answer(number, True) if snapshot else b""
    story(feed, body, max_lines=2)
    assert most == 1


def test_a_closed_stream_is_cancelled_by_its_own_number() -> None:
    feed = Feed(lambda number, _: frame(1, 6, number, 1, "10.5", 100, 1))

    async def body(lab: Lab, quotes: list[Quote]) -> None:
        one = lab.broker.subscribe(AAPL, quotes.append)
        two = lab.broker.subscribe(AAPL, quotes.append)
        await until(lambda: quotes, "a quote")
        one.close()
        assert feed.cancels == []
        two.close()
        await until(lambda: feed.cancels, "the cancel")
        assert feed.cancels == feed.requests
        assert len(feed.requests) == 1

    story(feed, body)


def test_a_dead_data_socket_leaves_the_order_path_up_and_comes_back_with_its_streams() -> None:
    feed = Feed(lambda number, _: frame(1, 6, number, 1, "10.5", 100, 1))

    async def body(lab: Lab, quotes: list[Quote]) -> None:
        lab.broker.subscribe(AAPL, quotes.append)
        await until(lambda: quotes, "a quote")
        feed.peers[0].writer.close()
        await until(lambda: len(feed.requests) == 2, "the resubscription")
        assert len(set(feed.requests)) == 2
        assert lab.broker.link is LinkState.UP
        assert [report.state for report in lab.of(LinkReport)] == [LinkState.UP]
        assert lab.sample("connects", role="data") == 2

    story(feed, body)
