"""A disk that is full, or whose syncs fail: no new risk is sent, what ends risk still is."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import AAPL, Floor, buy, floor, run, sell
from forgetful_disk import ForgetfulDisk, mounted

from alluse_core.errors import AllUseError, JournalError
from alluse_core.model import Order, OrderState, Side
from alluse_core.orders.journal import JournalReader, verify


@asynccontextmanager
async def desk_on(folder: Path) -> AsyncIterator[tuple[ForgetfulDisk, Floor]]:
    """Yield a disk and an order service on it that has a position and a working order."""
    disk = ForgetfulDisk(folder)
    with mounted(disk):
        async with floor(folder, storage=disk.storage) as desk:
            desk.broker.mode = "fill"
            await desk.orders.submit(buy("position"))
            await desk.settle()
            desk.broker.mode = "accept"
            await desk.orders.submit(buy("working", price="90"))
            await desk.settle()
            yield disk, desk


def fill_up(disk: ForgetfulDisk) -> None:
    """Leave room for nothing more."""
    disk.capacity = sum(
        path.stat().st_size for path in disk.folder.iterdir() if not path.name.endswith("-shm")
    )


@pytest.mark.parametrize("trouble", ["full", "syncs fail"])
def test_a_failing_disk_stops_new_risk_and_lets_cancels_and_exits_out(
    tmp_path: Path, trouble: str
) -> None:
    async def scenario() -> None:
        async with desk_on(tmp_path) as (disk, desk):
            sent = len(desk.broker.sent)
            if trouble == "full":
                fill_up(disk)
            else:
                # SQLite's and, after it, the retry's sync of the first batch.
                disk.fail_syncs = 1
            with pytest.raises(AllUseError):
                await desk.orders.submit(buy("more"))
            await desk.settle()
            with pytest.raises(AllUseError):
                await desk.orders.submit(buy("still more"))
            assert len(desk.broker.sent) == sent, "nothing that increases risk left"
            await desk.orders.submit(sell("exit"))
            await desk.orders.cancel("working")
            await desk.settle()
            assert [kind for kind, _ in desk.broker.sent[sent:]] == ["place", "cancel"]
            assert desk.count("unjournaled_cancels") == 0
            assert disk.refused
            disk.capacity = None
            await desk.settle(3)
            assert not desk.journal.trouble
            await desk.orders.submit(buy("after"))
            await desk.settle()
        assert verify(tmp_path / "journal.db").ok
        with JournalReader(tmp_path / "journal.db") as reader:
            assert reader.order("more").state is OrderState.DENIED
            told = [entry.state for entry in reader.story("more")]
            assert told == ["INTENT", "DENIED"], "it was never said that it may have left"
            assert reader.order("exit").state is OrderState.ACCEPTED
            assert reader.order("working").state is OrderState.CANCELED
            assert reader.order("after").state is OrderState.ACCEPTED

    run(scenario())


def test_on_a_dead_disk_no_exit_is_sent_and_the_error_says_the_way_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An order that no journal knows could be sent again after a restart and flip the position."""
    dead, well = tmp_path / "dead", tmp_path / "well"
    dead.mkdir()
    well.mkdir()
    kept: list[Any] = []

    async def scenario() -> None:
        await die(dead)
        with JournalReader(dead / "journal.db") as reader:
            assert reader.order("exit").state is OrderState.DENIED
        broker, clock = kept
        sent = len(broker.sent)
        async with floor(well, broker=broker, clock=clock) as elsewhere:
            # As the hint says: a new process with a folder of its own closes the position.
            broker.mode = "fill"
            assert (await elsewhere.orders.flatten()).still_open == ()
            assert [kind for kind, _ in broker.sent[sent:]] == ["place"]
            assert not any(broker.held.values())

    async def die(folder: Path) -> None:
        async with desk_on(folder) as (disk, desk):
            kept.extend((desk.broker, desk.clock))
            broker, sent = desk.broker, len(desk.broker.sent)
            disk.fail_syncs = 1_000_000
            with pytest.raises(JournalError, match="exit 'exit' is not sent, since no") as told:
                await desk.orders.submit(sell("exit"))
            assert "close the position in TWS" in told.value.hint
            assert "[alluse] state_dir" in told.value.hint
            assert "cancels leave" in told.value.hint
            with pytest.raises(AllUseError) as entry:
                await desk.orders.submit(buy("more"))
            assert "close the position" not in entry.value.hint
            closed = await desk.orders.flatten()
            assert [each.symbol for each in closed.still_open] == ["AAPL"]
            assert "close the position in TWS" in caplog.text
            await desk.settle(5)
            assert {kind for kind, _ in broker.sent[sent:]} == {"cancel"}
            assert desk.orders.get("working").state is OrderState.CANCELED
            assert desk.count("unjournaled_cancels") == 1
            # Only so that this test can end: with the disk the flatten would go on.
            disk.fail_syncs = 0

    run(scenario())


@pytest.mark.parametrize("first", ["exit", "cancel"])
def test_the_first_thing_that_meets_a_full_disk_may_be_an_exit_or_a_cancel(
    tmp_path: Path, first: str
) -> None:
    async def scenario() -> None:
        async with desk_on(tmp_path) as (disk, desk):
            sent = len(desk.broker.sent)
            fill_up(disk)
            if first == "exit":
                await desk.orders.submit(sell("exit"))
            else:
                await desk.orders.cancel("working")
            await desk.settle()
            assert disk.refused
            assert len(desk.broker.sent) == sent + 1
            assert desk.count("unjournaled_cancels") == 0
            assert desk.journal.trouble, "the reserve is spent: new risk waits until it is back"
        assert verify(tmp_path / "journal.db").ok

    run(scenario())


@pytest.mark.parametrize(
    ("key", "change"), [("stop", {"stop_price": "85"}), ("working", {"quantity": 50})]
)
def test_on_a_full_disk_a_stop_can_be_tightened_and_an_entry_made_smaller(
    tmp_path: Path, key: str, change: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with desk_on(tmp_path) as (disk, desk):
            await desk.orders.submit(Order.stop(AAPL, Side.SELL, 100, "80", key="stop"))
            await desk.settle()
            sent = len(desk.broker.sent)
            fill_up(disk)
            await desk.orders.modify(key, **change)
            await desk.settle()
            assert disk.refused
            assert [kind for kind, _ in desk.broker.sent[sent:]] == ["modify"]
            changed = attrs.evolve(desk.orders.get(key).order, **change)
            assert desk.orders.get(key).order == changed
            assert desk.journal.trouble, "the reserve is spent: new risk waits until it is back"
        assert verify(tmp_path / "journal.db").ok
        with JournalReader(tmp_path / "journal.db") as reader:
            assert reader.order(key).order == changed

    run(scenario())


def test_on_a_full_disk_an_entry_is_not_made_larger_and_keeps_its_terms(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with desk_on(tmp_path) as (disk, desk):
            before, sent = desk.orders.get("working").order, len(desk.broker.sent)
            fill_up(disk)
            for _ in range(2):
                with pytest.raises(JournalError):
                    await desk.orders.modify("working", quantity=200)
                await desk.settle()
            assert desk.broker.sent[sent:] == []
            assert desk.orders.get("working").order == before

    run(scenario())


def test_a_failed_sync_anywhere_never_writes_a_record_twice_or_loses_one(tmp_path: Path) -> None:
    """Each sync of a short day fails once: the database's, its log's and the anchor's."""
    for number in itertools.count():
        folder = tmp_path / str(number)
        folder.mkdir()
        if not run_a_day(folder, number):
            break
    assert number > 15, "a day has more syncs than this"
    print(f"{number} syncs failed, one in each day")


def run_a_day(folder: Path, number: int) -> int:
    """Trade while sync ``number`` fails; return whether it was reached."""
    disk = ForgetfulDisk(folder)
    disk.fail_after, disk.fail_syncs = number, 1

    async def scenario() -> None:
        async with floor(folder, storage=disk.storage) as desk:
            desk.broker.mode = "fill"
            for name in ("one", "two", "three"):
                with suppress(JournalError):
                    await desk.orders.submit(buy(name))
                await desk.settle(2)
            assert not desk.journal.trouble
            await desk.orders.submit(sell("exit", 100))
            await desk.settle()

    with mounted(disk):
        try:
            run(scenario())
        except JournalError:
            assert disk.refused, "only a sync that fails may end a start"
            return 1
    assert verify(folder / "journal.db").ok
    with JournalReader(folder / "journal.db") as reader:
        fills = Counter(each.execution.execution_id for each in reader.fills())
        assert set(fills.values()) <= {1}
        for order in reader.orders():
            assert order.state in (OrderState.DENIED, OrderState.FILLED)
    return disk.refused
