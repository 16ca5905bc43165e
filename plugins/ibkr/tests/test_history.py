"""Historical bars over a socket: refusals, shared requests, and questions that hang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alluse_ibkr.wireformat import _BAR_SIZES
from ibkr_lab import AAPL, LIBRARIES, Lab, Peer, connected, frame, scripted, until

from alluse_core.errors import InstrumentNotFound, RequestFailed
from alluse_core.model import Instrument
from alluse_core.settings import ErrorRule, RuleClass, RuleVerb
from alluse_core.testing import VirtualClock

both = pytest.mark.parametrize("library", LIBRARIES)
END = datetime(2026, 1, 5, 21, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Archive:
    """Serves bars by ``answer``, and keeps what was asked and cancelled."""

    def __init__(self, answer: Callable[[str, int], bytes]) -> None:
        self.answer = answer
        self.asked: list[list[str]] = []
        self.cancelled: list[str] = []

    async def serve(self, peer: Peer) -> None:
        """Answer one connection."""
        await peer.accept()
        while True:
            fields = await peer.message()
            if fields[0] == "20":
                self.asked.append(fields)
                peer.send(self.answer(fields[1], len(self.asked)))
            elif fields[0] == "25":
                self.cancelled.append(fields[2])
            elif fields[0] == "49":
                peer.send(frame(49, 1, 1_700_000_000))


def bar(number: str, price: float = 100.0) -> bytes:
    row = (1_767_646_800, price, price, price, price, 5, price, 1)
    return frame(17, number, "", "", 1, *row)


def lab(port: int, library: str, **more: object) -> Lab:
    return Lab(port=port, library=library, quiet=0.0, **more)  # type: ignore[arg-type]


@both
def test_those_who_ask_the_same_share_one_request(library: str) -> None:
    async def story() -> None:
        archive = Archive(lambda number, _: bar(number))
        async with scripted(archive.serve) as port, connected(lab(port, library)) as broker:
            one, two = await asyncio.gather(
                broker.bars(AAPL, END, timedelta(hours=1), MINUTE),
                broker.bars(AAPL, END, timedelta(hours=1), MINUTE),
            )
            assert one == two
            assert len(one) == 1
            assert len(archive.asked) == 1

    asyncio.run(story())


@both
def test_no_data_is_empty_and_any_other_refusal_is_an_error(library: str) -> None:
    texts = ["HMDS query returned no data: AAPL@SMART Trades", "No market data permissions"]

    async def story() -> None:
        archive = Archive(lambda number, turn: frame(4, 2, number, 162, texts[turn - 1], ""))
        async with scripted(archive.serve) as port, connected(lab(port, library)) as broker:
            assert await broker.bars(AAPL, END, timedelta(hours=1), MINUTE) == ()
            with pytest.raises(RequestFailed, match="permissions") as caught:
                await broker.bars(AAPL, END, timedelta(hours=1), MINUTE)
            assert caught.value.code == 162

    asyncio.run(story())


@both
def test_a_pacing_violation_is_waited_out_and_asked_again(library: str) -> None:
    text = "Historical Market Data Service error message:Historical data request pacing violation"

    async def story() -> None:
        clock = VirtualClock()
        archive = Archive(
            lambda number, turn: frame(4, 2, number, 162, text, "") if turn == 1 else bar(number)
        )
        async with scripted(archive.serve) as port:
            desk = lab(port, library, clock=clock)
            async with connected(desk) as broker:
                asking = asyncio.ensure_future(broker.bars(AAPL, END, timedelta(hours=1), MINUTE))
                await until(lambda: desk.sample("history_pacing_violations"), "the violation")
                assert not asking.done()
                await clock.advance(15.1)
                assert len(await asking) == 1
                assert len(archive.asked) == 2

    asyncio.run(story())


@both
def test_a_users_rule_decides_what_a_refusal_of_history_means(library: str) -> None:
    rules = (
        ErrorRule((10_999,), RuleClass.NOT_FOUND, "our vendor's word", text="nichts vorhanden"),
        ErrorRule((10_999,), RuleClass.PACING, "our vendor's word", verbs=(RuleVerb.HISTORY,)),
        ErrorRule((10_998,), RuleClass.INFO, "it is said before the bars", verbs=(RuleVerb.NONE,)),
        ErrorRule((162,), RuleClass.NOT_FOUND, "not of history", verbs=(RuleVerb.DEFINE,)),
    )

    def answer(number: str, turn: int) -> bytes:
        said = [(10_999, "nichts vorhanden"), (10_999, "zu oft"), (162, "No permissions")]
        if turn <= len(said):
            return frame(4, 2, number, *said[turn - 1], "")
        return frame(4, 2, number, 10_998, "one moment", "") + bar(number)

    async def story() -> None:
        clock, archive = VirtualClock(), Archive(answer)
        async with scripted(archive.serve) as port:
            desk = lab(port, library, clock=clock, errors=rules)
            async with connected(desk) as broker:
                span = (AAPL, END, timedelta(hours=1), MINUTE)
                assert await broker.bars(*span) == (), "it is found by the rule that there are none"
                asking = asyncio.ensure_future(broker.bars(*span))
                await until(lambda: desk.sample("history_pacing_violations"), "the violation")
                await clock.advance(15.1)
                with pytest.raises(RequestFailed, match="No permissions"):
                    await asking
                assert len(await broker.bars(*span)) == 1, "a greeting ends no question"

    asyncio.run(story())


@both
def test_history_of_what_no_definition_fits_is_an_error_and_not_empty(library: str) -> None:
    async def story() -> None:
        archive = Archive(lambda number, _: frame(4, 2, number, 200, "No security definition", ""))
        async with scripted(archive.serve) as port, connected(lab(port, library)) as broker:
            with pytest.raises(RequestFailed) as caught:
                await broker.bars(AAPL, END, timedelta(hours=1), MINUTE)
            assert caught.value.code == 200

    asyncio.run(story())


@both
def test_a_users_rule_decides_that_a_definition_was_not_found(library: str) -> None:
    rule = ErrorRule((10_997,), RuleClass.NOT_FOUND, "our gateway's word for 200")

    async def serve(peer: Peer) -> None:
        await peer.accept()
        while True:
            fields = await peer.message()
            if fields[0] == "9":
                peer.send(frame(4, 2, fields[2], 10_997, "never heard of it", ""))

    async def raised(**more: object) -> type[BaseException]:
        async with (
            scripted(serve) as port,
            connected(lab(port, library, **more)) as broker,
        ):
            with pytest.raises((InstrumentNotFound, RequestFailed)) as caught:
                await broker.define(AAPL)
            return caught.type

    assert asyncio.run(raised()) is RequestFailed
    assert asyncio.run(raised(errors=(rule,))) is InstrumentNotFound


@both
def test_a_question_that_hangs_ends_with_an_error_and_a_cancel(library: str) -> None:
    async def story() -> None:
        archive = Archive(lambda _number, _turn: b"")
        async with (
            scripted(archive.serve) as port,
            connected(lab(port, library, request_timeout=0.05)) as broker,
        ):
            with pytest.raises(RequestFailed, match="not answered") as caught:
                await broker.bars(AAPL, END, timedelta(hours=1), MINUTE)
            assert caught.value.code is None
            await until(lambda: archive.cancelled, "the cancel")
            assert archive.cancelled == [archive.asked[0][1]]

    asyncio.run(story())


@both
def test_a_request_that_nobody_waits_for_is_cancelled(library: str) -> None:
    async def story() -> None:
        archive = Archive(lambda _number, _turn: b"")
        async with scripted(archive.serve) as port, connected(lab(port, library)) as broker:
            asking = asyncio.ensure_future(broker.bars(AAPL, END, timedelta(hours=1), MINUTE))
            await until(lambda: archive.asked, "the request")
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await until(lambda: archive.cancelled, "the cancel")

    asyncio.run(story())


@both
def test_a_long_range_is_asked_for_in_parts_and_told_once(library: str) -> None:
    async def story() -> None:
        archive = Archive(lambda number, _: bar(number))
        async with scripted(archive.serve) as port, connected(lab(port, library)) as broker:
            found = await broker.bars(AAPL, END, timedelta(days=3), MINUTE)
            assert len(archive.asked) == 3
            assert len(found) == 1, "a bar that two parts bring is one bar"

    asyncio.run(story())


@both
def test_a_regulatory_snapshot_is_never_asked_for(library: str) -> None:
    async def story() -> None:
        asked: list[list[str]] = []

        async def serve(peer: Peer) -> None:
            await peer.accept()
            while True:
                fields = await peer.message()
                if fields[0] == "1":
                    asked.append(fields)
                    peer.send(frame(57, 1, fields[2]))

        async with scripted(serve) as port, connected(lab(port, library)) as broker:
            await broker.snapshots([AAPL])
            broker.subscribe(AAPL, lambda _: None)
            await until(lambda: len(asked) == 2, "both requests")
            assert [fields[-3] for fields in asked] == ["1", "0"], "a snapshot, and a stream"
            assert [fields[-2] for fields in asked] == ["0", "0"], "neither costs money"

    asyncio.run(story())


@both
def test_contract_requests_are_open_in_a_number_that_follows_the_answers(library: str) -> None:
    open_now, most = 0, 0
    hang = False

    async def serve(peer: Peer) -> None:
        nonlocal open_now, most
        await peer.accept()
        waiting: list[str] = []
        while True:
            fields = await peer.message()
            if fields[0] == "9":
                waiting.append(fields[2])
                open_now += 1
                most = max(most, open_now)
            elif fields[0] == "49":
                peer.send(frame(49, 1, 1_700_000_000))
            if waiting and not hang:
                await asyncio.sleep(0.002)
                for number in waiting:
                    open_now -= 1
                    peer.send(frame(4, 2, number, 200, "No security definition", ""))
                waiting.clear()

    async def ask(broker: Any, count: int, kind: type[Exception]) -> None:
        stocks = [Instrument.stock(f"X{n}") for n in range(count)]
        found = await asyncio.gather(*map(broker.define, stocks), return_exceptions=True)
        assert {type(each) for each in found} == {kind}

    async def story() -> None:
        nonlocal hang, most
        async with (
            scripted(serve) as port,
            connected(lab(port, library, request_timeout=0.3)) as broker,
        ):
            await ask(broker, 60, InstrumentNotFound)
            slots = broker._lookup._slots
            grown = slots.limit.limit
            assert 8 < grown <= 50
            hang = True
            await ask(broker, 8, RequestFailed)
            assert slots.limit.limit <= grown / 8, "each that hung halves it"
            assert slots.taken == slots.waiting == 0

    asyncio.run(story())


@both
def test_every_bar_size_is_answered_by_the_gateway(library: str) -> None:
    from alluse_gateway import SimulatedGateway
    from alluse_paper.exchange import Exchange
    from alluse_paper.synthetic import SyntheticMarket

    from alluse_core.clock import SystemClock

    async def story() -> None:
        market = SyntheticMarket(1, 20)
        exchange = Exchange(SystemClock(), market.listings())
        async with (
            SimulatedGateway(exchange, market=market, sampling=0) as gate,
            connected(lab(gate.port, library)) as broker,
        ):
            end = datetime(2025, 12, 31, 20, tzinfo=UTC)
            assert max(_BAR_SIZES) >= timedelta(days=28)
            for size in _BAR_SIZES:
                least = timedelta(minutes=2) if size < MINUTE else timedelta(days=3)
                bars = await broker.bars(AAPL, end, max(3 * size, least), size)
                assert len(bars) > 1, f"bars of {size}"
                assert all(bar.low <= bar.close <= bar.high for bar in bars)
                assert [bar.time for bar in bars] == sorted({bar.time for bar in bars})

    asyncio.run(story())


@both
def test_small_bars_keep_the_gateways_own_pacing_rules(library: str) -> None:
    from alluse_gateway import SimulatedGateway
    from alluse_paper.exchange import Exchange
    from alluse_paper.synthetic import SyntheticMarket

    from alluse_core.clock import SystemClock

    async def story() -> None:
        market = SyntheticMarket(1, 20)
        exchange = Exchange(SystemClock(), market.listings())
        async with SimulatedGateway(exchange, market=market, sampling=0) as gate:
            desk = lab(gate.port, library)
            async with connected(desk) as broker:
                ends = [datetime(2025, 12, 31, 20, n, tzinfo=UTC) for n in range(7)]
                span, size = timedelta(minutes=2), timedelta(seconds=5)
                found = await asyncio.gather(*(broker.bars(AAPL, e, span, size) for e in ends))
                assert all(len(bars) > 1 for bars in found)
                violations = desk.sample("history_pacing_violations")
                assert violations == 0, "a sixth request within two seconds is refused with 162"

    asyncio.run(story())
