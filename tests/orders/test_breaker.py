"""A broker that keeps refusing gets no more new orders; the way out never closes."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result
from desk_floor import Floor, buy, floor, run, sell

from alluse_core.cli.stopping import close_breaker, status
from alluse_core.errors import OrderDenied, OrderError, UsageError
from alluse_core.model import BrokerStatus, OrderReport, OrderState, TimeInForce
from alluse_core.orders.breaker import Breaker, BreakerState
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.requests import Counter, status_of
from alluse_core.settings import OrdersSettings
from alluse_core.spool import Spool
from alluse_core.state import StateFolder
from alluse_core.testing.fakes import FakeBroker

S, B = OrderState, BreakerState


def _breaker(most: int = 3) -> tuple[Breaker, list[tuple[BreakerState, str]]]:
    said: list[tuple[BreakerState, str]] = []
    return Breaker(most, 60.0, 30.0, lambda state, why: said.append((state, why))), said


def test_it_opens_by_failures_of_different_orders_within_the_window() -> None:
    breaker, said = _breaker()
    for now in (0.0, 1.0, 2.0):
        breaker.failed("one", now, "refused")
    breaker.failed("two", 3.0, "refused")
    assert breaker.state(3.0) is B.CLOSED
    breaker.heard("three", S.SUBMITTED, S.UNKNOWN, 59.0)
    assert breaker.state(59.0) is B.OPEN
    assert said == [(B.OPEN, "3 orders were refused or not answered in 60 s")]
    assert "in 30 s" in breaker.refuses(59.0)


def test_failures_far_apart_do_not_open_it() -> None:
    breaker, _ = _breaker()
    for turn in range(20):
        breaker.heard(str(turn), S.SUBMITTED, S.REJECTED, turn * 31.0)
    assert breaker.state(1e6) is B.CLOSED
    never, _ = _breaker(most=0)
    for turn in range(100):
        never.failed(str(turn), 0.0, "refused")
    assert never.state(0.0) is B.CLOSED


def _opened() -> tuple[Breaker, list[tuple[BreakerState, str]]]:
    breaker, said = _breaker(most=1)
    breaker.failed("one", 0.0, "refused")
    return breaker, said


def test_after_the_pause_one_order_may_try_and_its_answer_decides() -> None:
    breaker, said = _opened()
    assert breaker.state(29.9) is B.OPEN
    assert breaker.state(30.0) is B.HALF_OPEN
    assert breaker.refuses(30.0) == ""
    breaker.sent("probe", 30.0)
    assert "'probe' is trying" in breaker.refuses(31.0)
    breaker.heard("another", S.SUBMITTED, S.ACCEPTED, 31.0)
    breaker.heard("another", S.SUBMITTED, S.REJECTED, 31.0)
    assert breaker.state(31.0) is B.HALF_OPEN
    breaker.heard("probe", S.SUBMITTED, S.HELD, 32.0)
    assert breaker.state(32.0) is B.CLOSED
    assert said[-1] == (B.CLOSED, "order 'probe' was taken")


def test_a_probe_that_fails_opens_it_for_another_pause() -> None:
    breaker, _ = _opened()
    breaker.sent("probe", 30.0)
    breaker.heard("probe", S.SUBMITTED, S.UNKNOWN, 40.0)
    assert breaker.state(69.9) is B.OPEN
    assert breaker.state(70.0) is B.HALF_OPEN
    assert breaker.refuses(70.0) == ""


def test_a_probe_that_never_left_leaves_its_place_to_the_next() -> None:
    breaker, _ = _opened()
    breaker.sent("probe", 30.0)
    breaker.heard("probe", S.SUBMITTED, S.DENIED, 31.0)
    assert breaker.refuses(31.0) == ""
    breaker.sent("next", 31.0)
    assert breaker.probe == "next"


def test_only_the_first_answer_of_an_order_counts() -> None:
    breaker, _ = _breaker(most=1)
    breaker.heard("one", S.ACCEPTED, S.UNKNOWN, 0.0)
    assert breaker.state(0.0) is B.CLOSED
    assert not breaker.close("ann")


# --- in the order path ----------------------------------------------------------------------------

THREE = OrdersSettings(stages=(), settle_seconds=0.0, breaker_failures=3, send_within=30.0)


async def _open(desk: Floor) -> None:
    """Hold a position of 100 and a resting order, then let three orders be refused."""
    desk.broker.mode = "fill"
    await desk.orders.submit(buy("held"))
    desk.broker.mode = "accept"
    await desk.settle()
    await desk.orders.submit(buy("resting", price="90"))
    await desk.settle()
    desk.broker.mode = "reject"
    for turn in range(3):
        await desk.orders.submit(buy(f"refused-{turn}"))
        await desk.settle()
    desk.broker.mode = "accept"


def test_refusals_stop_new_risk_and_never_the_way_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=THREE) as desk:
            await _open(desk)
            assert desk.orders.breakers == {"fake": B.OPEN}
            with pytest.raises(OrderDenied, match="the breaker of fake is open") as denied:
                await desk.orders.submit(buy("more"))
            assert denied.value.stage == "breaker"
            await desk.orders.submit(sell("exit"))
            await desk.orders.modify("resting", quantity=50)
            await desk.orders.cancel("resting")
            await desk.settle()
            assert desk.orders.get("exit").state is S.ACCEPTED
            assert desk.orders.get("resting").state is S.CANCELED
            (level,) = [
                sample.value
                for sample in desk.registry.collect(0.0)
                if sample.series.metric == "breaker_open"
            ]
            assert level == 1.0
            assert status_of(desk.orders)["breakers"] == {"fake": "open"}

    run(scenario())


def test_it_closes_by_a_probe_or_by_a_persons_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=THREE) as desk:
            await _open(desk)
            await desk.settle(30)
            await desk.orders.submit(buy("probe"))
            await desk.settle()
            assert desk.orders.breakers == {"fake": B.CLOSED}
            desk.broker.mode = "reject"
            for turn in range(3):
                await desk.orders.submit(buy(f"again-{turn}"))
                await desk.settle()
            with pytest.raises(UsageError, match="name"):
                await desk.orders.close_breaker("fake", by=" ")
            with pytest.raises(OrderError, match="did you mean 'fake'"):
                await desk.orders.close_breaker("fak", by="ann")
            await desk.orders.close_breaker("fake", by="ann")
            assert desk.orders.breakers == {"fake": B.CLOSED}
            await desk.orders.submit(buy("allowed"))
        with JournalReader(tmp_path / "journal.db") as reader:
            said = [entry.body.get("reason") for entry in reader.entries("control")]
        assert "closed by ann" in said

    run(scenario())


def _close_by_command(state: Path, *words: str) -> Result:
    return CliRunner().invoke(close_breaker, [*words, "--state", str(state), "--json"])


def test_a_person_closes_it_by_command(tmp_path: Path) -> None:
    async def scenario() -> None:
        with StateFolder(tmp_path):
            async with floor(tmp_path, settings=THREE) as desk:
                await _open(desk)
                counter = Counter(desk.orders, Spool(tmp_path))

                async def ask(*words: str) -> Result:
                    asking = asyncio.create_task(
                        asyncio.to_thread(_close_by_command, tmp_path, *words)
                    )
                    while not asking.done():
                        counter.take()
                        await asyncio.sleep(0.01)
                    return asking.result()

                wrong = await ask("fak", "--by", "Ada")
                assert isinstance(wrong.exception, OrderError)
                assert "did you mean 'fake'" in str(wrong.exception)
                assert desk.orders.breakers == {"fake": B.OPEN}
                unnamed = await ask("fake", "--by", " ")
                assert isinstance(unnamed.exception, UsageError)
                assert desk.orders.breakers == {"fake": B.OPEN}
                closed = await ask("fake", "--by", "Ada")
                assert closed.exit_code == 0, closed.output
                assert json.loads(closed.output)["breakers"] == {"fake": "closed"}
                await desk.orders.submit(buy("allowed"))
                await counter.stop()
        with JournalReader(tmp_path / "journal.db") as reader:
            assert "closed by Ada" in [e.body.get("reason") for e in reader.entries("control")]

    run(scenario())


@pytest.mark.parametrize("left", ["open", "off"])
def test_a_person_closes_it_while_no_process_runs(tmp_path: Path, left: str) -> None:
    failures, alike = (3, 0) if left == "open" else (0, 3)
    settings = attrs.evolve(THREE, breaker_failures=failures, breaker_alike=alike)

    async def before() -> Floor:
        async with floor(tmp_path, settings=settings) as desk:
            desk.broker.mode = "reject"
            for turn in range(3):
                await desk.orders.submit(buy(f"refused-{turn}"))
                await desk.settle()
            assert desk.orders.breakers == {"fake": B(left)}
        desk.broker.mode = "accept"
        return desk

    async def after(desk: Floor) -> None:
        broker, clock = desk.broker, desk.clock
        async with floor(tmp_path, settings=settings, broker=broker, clock=clock) as again:
            assert again.orders.breakers == {"fake": B.CLOSED}
            await again.orders.submit(buy("allowed"))

    desk = asyncio.run(before())
    told = CliRunner().invoke(status, ["--state", str(tmp_path)])
    assert f"the breaker of fake is {left}: new orders wait" in told.output
    wrong = _close_by_command(tmp_path, "fak", "--by", "Ada").exception
    assert isinstance(wrong, OrderError)
    assert "did you mean 'fake'" in str(wrong)
    assert wrong.hint == "open are ['fake']"
    closed = _close_by_command(tmp_path, "fake", "--by", "Ada")
    assert closed.exit_code == 0, closed.output
    answer = json.loads(closed.output)
    assert (answer["running"], answer["breakers"]) == (False, {"fake": "closed"})
    with JournalReader(tmp_path / "journal.db") as reader:
        assert [each.body["reason"] for each in reader.entries("control")][-1] == "closed by Ada"
    twice = _close_by_command(tmp_path, "fake", "--by", "Ada").exception
    assert isinstance(twice, OrderError)
    assert "nothing needs closing" in twice.hint
    asyncio.run(after(desk))


def test_orders_without_an_answer_open_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=THREE) as desk:
            desk.broker.mode = "silent"
            desk.broker.lists_fail = True
            for turn in range(3):
                await desk.orders.submit(buy(f"unheard-{turn}"))
            await desk.settle(12)
            assert desk.orders.breakers == {"fake": B.OPEN}

    run(scenario())


def _refused(breaker: Breaker, key: str, now: float, reason: str) -> None:
    breaker.heard(key, S.SUBMITTED, S.REJECTED, now, reason)


def test_refusals_of_one_reason_turn_it_off_until_a_person_closes_it() -> None:
    said: list[tuple[BreakerState, str]] = []
    breaker = Breaker(4, 60.0, 30.0, lambda state, why: said.append((state, why)), 3)
    _refused(breaker, "one", 0.0, "201 needs 1,234.50 USD")
    _refused(breaker, "two", 1.0, "201 no permission")
    _refused(breaker, "three", 2.0, "201 needs 99 USD")
    breaker.heard("four", S.SUBMITTED, S.UNKNOWN, 3.0, "no answer")
    assert breaker.state(3.0) is B.OPEN
    _refused(breaker, "five", 3.5, "201 needs 7 USD")
    assert breaker.state(3.5) is B.OFF
    assert said[-1] == (B.OFF, "3 orders were refused for one reason in 60 s: # needs # USD")
    for later in (40.0, 1e9):
        assert breaker.state(later) is B.OFF
        assert "a person must close it" in breaker.refuses(later)
        breaker.sent("probe", later)
        breaker.heard("probe", S.SUBMITTED, S.ACCEPTED, later)
        breaker.failed("late", later, "no answer came")
    assert len(said) == 2
    assert breaker.close("Ada")
    assert breaker.refuses(1e9) == ""
    _refused(breaker, "six", 1e9, "201 needs 5 USD")
    assert breaker.state(1e9) is B.CLOSED, "it counts anew"


def test_refusals_of_several_reasons_or_far_apart_do_not_turn_it_off() -> None:
    breaker = Breaker(0, 60.0, 30.0, alike=3)
    for turn in range(40):
        _refused(breaker, str(turn), turn * 31.0, "201 margin")
        _refused(breaker, f"other {turn}", turn * 31.0, f"201 {'x' * turn}")
    for turn in range(5):
        breaker.failed(f"unheard {turn}", 1e6, "no answer came")
        _refused(breaker, "same", 1e6, "201 margin")
    assert breaker.state(1e6) is B.CLOSED
    never = Breaker(0, 60.0, 30.0)
    for turn in range(100):
        _refused(never, str(turn), 0.0, "201 margin")
    assert never.state(0.0) is B.CLOSED


def test_a_probe_that_is_refused_for_the_same_reason_again_turns_it_off() -> None:
    breaker = Breaker(2, 600.0, 30.0, alike=3)
    _refused(breaker, "one", 0.0, "201 margin")
    _refused(breaker, "two", 1.0, "201 margin")
    assert breaker.state(31.0) is B.HALF_OPEN
    breaker.sent("probe", 31.0)
    _refused(breaker, "probe", 32.0, "201 margin")
    assert (breaker.state(32.0), breaker.probe) == (B.OFF, "")


def test_what_is_off_stays_off_over_restarts_until_a_person_closes_it(tmp_path: Path) -> None:
    alike = attrs.evolve(THREE, breaker_failures=0, breaker_alike=3)

    async def scenario() -> None:
        async with floor(tmp_path, settings=alike) as desk:
            desk.broker.mode = "reject"
            for turn in range(3):
                await desk.orders.submit(buy(f"refused-{turn}"))
                await desk.settle()
            assert desk.orders.breakers == {"fake": B.OFF}
            broker, clock = desk.broker, desk.clock
        broker.mode = "accept"
        async with floor(tmp_path, settings=alike, broker=broker, clock=clock) as again:
            await again.settle(300)
            with pytest.raises(OrderDenied, match="a person must close it") as denied:
                await again.orders.submit(buy("more"))
            assert "close-breaker" in denied.value.hint
        unguarded = attrs.evolve(alike, breaker_alike=0)
        async with floor(tmp_path, settings=unguarded, broker=broker, clock=clock) as without:
            assert without.orders.breakers == {"fake": B.CLOSED}
        async with floor(tmp_path, settings=alike, broker=broker, clock=clock) as third:
            await third.orders.close_breaker("fake", by="Ada")
            await third.orders.submit(buy("allowed"))
        async with floor(tmp_path, settings=alike, broker=broker, clock=clock) as fourth:
            assert fourth.orders.breakers == {"fake": B.CLOSED}

    run(scenario())


def test_a_restart_does_not_close_it_and_its_pause_begins_anew(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=THREE) as desk:
            await _open(desk)
            await desk.settle(29)
            broker, clock = desk.broker, desk.clock
        async with floor(tmp_path, settings=THREE, broker=broker, clock=clock) as again:
            assert again.orders.breakers == {"fake": B.OPEN}
            await again.settle(29)
            with pytest.raises(OrderDenied, match="3 orders were refused or not answered") as no:
                await again.orders.submit(buy("more"))
            assert no.value.stage == "breaker"
            await again.orders.submit(sell("exit"))
            await again.settle(1)
            await again.orders.submit(buy("probe"))
            await again.settle()
            assert again.orders.breakers == {"fake": B.CLOSED}
        async with floor(tmp_path, settings=THREE, broker=broker, clock=clock) as third:
            assert third.orders.breakers == {"fake": B.CLOSED}
            await third.orders.submit(buy("allowed"))

    run(scenario())


def test_an_open_breaker_of_before_is_left_alone_where_it_guards_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=THREE) as desk:
            await _open(desk)
            broker, clock = desk.broker, desk.clock
        never = attrs.evolve(THREE, breaker_failures=0)
        async with floor(tmp_path, settings=never, broker=broker, clock=clock) as again:
            assert again.orders.breakers == {"fake": B.CLOSED}
        renamed = FakeBroker(lambda _: None, name="renamed", clock=clock)
        async with floor(tmp_path, settings=THREE, broker=renamed, clock=clock) as other:
            assert other.orders.breakers == {"renamed": B.CLOSED}
        async with floor(tmp_path, settings=THREE, broker=broker, clock=clock) as third:
            assert third.orders.breakers == {"fake": B.OPEN}
            await third.orders.close_breaker("fake", by="Ada")
        async with floor(tmp_path, settings=THREE, broker=broker, clock=clock) as fourth:
            assert fourth.orders.breakers == {"fake": B.CLOSED}

    run(scenario())


# --- deadlines ------------------------------------------------------------------------------------


def _until(key: str, clock_now: object, seconds: float) -> object:
    return attrs.evolve(
        buy(key),
        time_in_force=TimeInForce.GTD,
        good_till=clock_now + timedelta(seconds=seconds),  # type: ignore[operator]
    )


def test_an_order_that_could_not_leave_in_time_is_not_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=THREE, rate=2.0) as desk:
            desk.broker.mode = "fill"
            await desk.orders.submit(buy("held"))
            await desk.settle(5)
            desk.broker.mode = "accept"
            for turn in range(100):
                await desk.orders.submit(buy(f"order-{turn}"))
            short = _until("short", desk.clock.now(), 20.0)
            await desk.orders.submit(short)  # type: ignore[call-overload]
            await desk.settle(80)
            states = {ticket.key: ticket.state for ticket in desk.orders.all()}
            placed = {key for key, state in states.items() if state is S.ACCEPTED}
            late = {key for key, state in states.items() if state is S.DENIED}
            assert placed | late | {"held"} == set(states)
            assert 40 <= len(placed) <= 70
            assert "short" in late
            assert desk.count("orders_too_late") == len(late)
            sent = [what for kind, what in desk.broker.sent if kind == "place"]
            assert len(sent) == len(placed) + 1
        with JournalReader(tmp_path / "journal.db") as reader:
            last = reader.story("order-99")[-1]
        assert "of the 30 s it may wait" in last.body["reason"]

    run(scenario())


def test_an_exit_may_wait_for_longer_but_not_past_its_own_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=THREE, rate=2.0) as desk:
            desk.broker.mode = "fill"
            await desk.orders.submit(buy("held"))
            await desk.settle(5)
            desk.broker.mode = "accept"
            for turn in range(90):
                await desk.orders.submit(sell(f"exit-{turn}", 1))
            until = desk.clock.now() + timedelta(seconds=20)
            ends = sell("ends", 1, time_in_force=TimeInForce.GTD, good_till=until)
            short = await desk.orders.submit(ends)
            await desk.settle(80)
            states = {desk.orders.get(f"exit-{turn}").state for turn in range(90)}
            assert states == {S.ACCEPTED}
            assert short.state is S.DENIED
            assert short.known.reason == f"not sent: it was good until {until.isoformat()}"
            assert short.order_ref not in desk.broker.orders

    run(scenario())


def test_an_order_of_a_broker_that_was_renamed_is_still_followed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, settings=THREE) as desk:
            desk.broker.mode = "silent"
            await desk.orders.submit(buy("one"))
            await desk.settle()
            (order,) = desk.broker.orders.values()
        renamed = FakeBroker(lambda _: None, name="renamed", clock=desk.clock)
        async with floor(tmp_path, settings=THREE, broker=renamed, clock=desk.clock) as desk:
            renamed.say(OrderReport("renamed", order.identity, BrokerStatus.WORKING))
            assert desk.orders.get("one").state is S.ACCEPTED

    run(scenario())
