"""From start to stop: what a start says, and what is true once a stop has returned."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from desk_floor import Floor, HeldDisk, buy, floor, placed, run
from exits_lab import enlarged_again, live, prove

from alluse_core.errors import JournalError
from alluse_core.model import LinkState, OrderGroup, OrderState
from alluse_core.orders.committer import Commit
from alluse_core.orders.reader import JournalReader
from alluse_core.testing import VirtualClock
from alluse_core.testing.fakes import FakeBroker

S = OrderState


def kinds(desk: Floor) -> list[str]:
    return [kind for kind, _ in desk.broker.sent]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


# --- the start ----------------------------------------------------------------------------------


def test_a_start_names_each_live_order_that_no_named_broker_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await placed(desk, buy("left"))
            ended = await placed(desk, buy("ended"))
            desk.broker.fill(ended.order_ref)
        assert not errors(caplog)
        async with floor(tmp_path, broker=desk.broker, clock=desk.clock):
            assert not errors(caplog), "its broker is there"
        clock = VirtualClock()
        other = FakeBroker(lambda _: None, clock=clock, name="other")
        async with floor(tmp_path, broker=other, clock=clock):
            (told,) = errors(caplog)
            assert told.startswith("order 'left' is ACCEPTED at broker 'fake', which the settings")

    run(scenario())


# --- the watch ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "step", "name"),
    [
        ("journal", "retry", "journal-retry"),
        ("journal", "sign_off", "journal-retry"),
        ("control", "pursue", "stopping"),
        ("protection", "tend", "protection"),
        ("trimming", "tend", "trimming"),
        ("overdue", "ask", "overdue-fake"),
    ],
)
def test_each_step_of_the_watch_that_raises_is_counted_under_its_own_name(
    tmp_path: Path, part: str, step: str, name: str
) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("this step is broken")

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            setattr(getattr(desk.orders._parts, part), step, broken)
            await desk.settle(3)
            assert desk.count("background_failures", part=name) == 3
            assert desk.orders.reason.startswith(f"{name} failed: ")

    run(scenario())


def test_a_watch_that_breaks_off_begins_again_and_is_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            sleep, left = desk.clock.sleep, [1]

            async def once(seconds: float) -> None:
                if left[0]:
                    left[0] -= 1
                    raise RuntimeError("the clock broke")
                await sleep(seconds)

            desk.clock.sleep = once  # type: ignore[method-assign]
            desk.broker.mode = "lose"
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle(60)
            assert desk.count("background_failures", part="order-watch") == 1
            assert ticket.state is S.UNKNOWN, "what is overdue was asked for"

    run(scenario())


@pytest.mark.parametrize("waits", ["trimming", "stopping"])
def test_while_a_step_waits_for_the_disk_what_is_unprotected_is_told(
    tmp_path: Path, waits: str
) -> None:
    async def scenario() -> None:
        disk = HeldDisk()
        async with floor(tmp_path, committer=disk) as desk:
            await enlarged_again(desk)
            group = OrderGroup.bracket(buy("two/entry"), take_profit="111", stop="89")
            _, take, stop = (await desk.orders.submit(group)).tickets
            await placed(desk, buy("three"))
            desk.broker.fill(desk.orders.get("two/entry").order_ref)
            disk.holds = True
            if waits == "trimming":
                prove(desk)
            else:
                desk.orders._parts.control.stop("a test")
            await desk.settle(2)
            by = "bracket" if waits == "trimming" else "halt"
            orders = [live(desk), live(desk, "three")]
            assert [each.by for order in orders for each in order.commands] == [by]
            for ticket in (take, stop):
                desk.broker.cancel_by_broker(ticket.order_ref)
            await desk.settle(2)
            gauge = desk.registry.gauge("trading_system", "unprotected_quantity")
            assert gauge.value == float(sum(desk.orders.unprotected().values())) == 100
            disk.release()
            await desk.settle(1)
            assert [kind for kind, _ in desk.broker.sent][-1] in ("modify", "cancel")
            assert orders[waits == "stopping"].pending is None

    run(scenario())


# --- the stop -----------------------------------------------------------------------------------


def test_after_a_stop_nothing_leaves_that_waited_for_its_turn(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=1) as desk:
            await placed(desk)
            await desk.orders.modify("one", limit_price="99")
            await desk.orders.submit(buy("two"))
            assert kinds(desk) == ["place"]
            await desk.orders.stop()
            await desk.settle(30)
            assert kinds(desk) == ["place"]

    run(scenario())


def test_what_a_stop_withdraws_is_in_the_journal_when_the_stop_returns(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=1) as desk:
            await placed(desk)
            await desk.orders.submit(buy("two"))
            await desk.orders.stop()
            with JournalReader(tmp_path / "journal.db") as reader:
                *_, last = reader.story("two")
            assert (last.state, last.body["event"]) == ("CANCELED", "WITHDRAW")
            assert (last.body["source"], last.body["reason"]) == (
                *("stop", "stopped before it was sent"),
            )

    run(scenario())


def test_what_a_stop_withdrew_is_not_sent_by_the_next_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=1) as desk:
            await placed(desk)
            waiting = await desk.orders.submit(buy("two"))
            await desk.orders.stop()
            await desk.orders.start()
            await desk.settle(30)
            assert waiting.state is S.CANCELED
            await placed(desk, buy("three"))
            assert kinds(desk) == ["place", "place"], "the first and the third"

    run(scenario())


class FailingDisk(HeldDisk):
    """A held disk that can be full when it is let go."""

    def fail(self) -> None:
        waiting, self._waiting = self._waiting, []
        for rows, done in waiting:
            done(Commit(len(rows), 0.0, JournalError("disk full")))


def test_a_stop_waits_for_the_disk_before_it_says_what_became_of_an_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = FailingDisk()
        async with floor(tmp_path, committer=disk) as desk:
            disk.holds = True
            submit = asyncio.ensure_future(desk.orders.submit(buy("one")))
            await desk.settle()
            stop = asyncio.ensure_future(desk.orders.stop())
            await desk.settle()
            ticket = desk.orders.get("one")
            assert ticket.state is S.SUBMITTED
            disk.fail()
            disk.holds = False
            with pytest.raises(JournalError, match="disk full"):
                await stop
            with pytest.raises(JournalError, match="disk full"):
                await submit
            assert ticket.state is S.DENIED, "it was never written down, so it was never sent"
            assert desk.count("impossible_events") == 0

    run(scenario())


def test_a_stop_returns_when_what_it_broke_off_has_ended(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ended: list[str] = []

            async def slow_to_give_up() -> Any:
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0.01)
                    ended.append("asking")

            desk.broker.open_orders = slow_to_give_up  # type: ignore[method-assign]
            desk.broker.turn(LinkState.DOWN)
            desk.broker.turn(LinkState.UP)
            await desk.settle(1)
            assert not ended
            await desk.orders.stop()
            assert ended == ["asking"]

    run(scenario())


def test_a_link_that_comes_back_after_the_stop_tries_nothing_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await placed(desk)
            desk.broker.turn(LinkState.DOWN)
            await desk.orders.cancel("one")
            await desk.settle()
            await desk.orders.stop()
            desk.broker.turn(LinkState.UP)
            await desk.settle(5)
            assert desk.count("retries", what="cancel", outcome="made") == 0
            assert kinds(desk) == ["place"]

    run(scenario())


def test_an_order_of_long_ago_can_be_read_after_the_stop_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.mode = "reject"
            for key in ("one", "two"):
                await placed(desk, buy(key))
        async with floor(tmp_path) as again:
            assert again.orders.get("one").state is S.REJECTED
        assert again.orders.get("two").state is S.REJECTED
        await again.orders.stop()

    run(scenario())
