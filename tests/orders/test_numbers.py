"""Order ids: rising in the order that messages leave, reserved before they are used."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from desk_floor import AAPL, buy, floor, run

from alluse_core.model import Order, OrderGroup, Side
from alluse_core.ports import OrderMessage


def _placed(sent: list[tuple[str, object]]) -> list[OrderMessage]:
    found: list[OrderMessage] = []
    for kind, what in sent:
        if kind == "place":
            found.extend(what)  # type: ignore[arg-type]
    return found


def test_an_exit_that_overtakes_waiting_orders_takes_the_next_id(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=2) as desk:
            desk.orders._book.positions["fake", "DU1", AAPL] = Decimal(100)
            for number in range(6):
                await desk.orders.submit(buy(f"entry-{number}"))
            exit_order = Order.limit(AAPL, Side.SELL, 100, "100", key="exit")
            await desk.orders.submit(exit_order)
            for _ in range(8):
                await desk.settle(1.0)
            placed = _placed(desk.broker.sent)
            assert len(placed) == 7
            assert placed[-1].order.key != "exit"
            numbers = [message.order_id for message in placed]
            assert numbers == sorted(set(numbers))

    run(scenario())


def test_ids_rise_whatever_the_brokers_own_counter_does(tmp_path: Path) -> None:
    """It may stand still, or go back behind ids that were used (Lean.IB #242)."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            for number, counter in enumerate((7, 7, 1, 7, 3)):
                desk.broker.order_id_floor = counter
                await desk.orders.submit(buy(f"order-{number}"))
                await desk.settle()
            numbers = [message.order_id for message in _placed(desk.broker.sent)]
            assert len(numbers) == 5
            assert numbers == sorted(set(numbers))

    run(scenario())


def test_ids_are_reserved_in_the_journal_before_an_order_may_use_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            for number in range(5):
                await desk.orders.submit(buy(f"order-{number}"))
            await desk.settle()
            highest = max(message.order_id for message in _placed(desk.broker.sent))
            await desk.orders.flush()
            with desk.journal.read() as reader:
                entries = list(reader.entries())
            blocks = [entry for entry in entries if entry.kind == "ids"]
            first_order = next(entry for entry in entries if entry.kind == "order")
            assert blocks[0].sequence < first_order.sequence
            assert max(block.body["up_to"] for block in blocks) >= highest

    run(scenario())


def test_the_journal_tells_the_highest_id_that_each_client_of_a_broker_used(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            for number in range(3):
                await desk.orders.submit(buy(f"k{number}"))
                await desk.settle()
            await desk.orders.flush()
            highest = max(message.order_id for message in _placed(desk.broker.sent))
            with desk.journal.read() as reader:
                assert reader.highest_order_ids("fake") == {desk.broker.client_id: highest}
                assert reader.highest_order_ids("another") == {}

    run(scenario())


def test_no_id_is_used_again_after_a_restart(tmp_path: Path) -> None:
    used: list[int] = []

    async def scenario() -> None:
        for start in range(2):
            async with floor(tmp_path) as desk:
                await desk.orders.submit(buy(f"start-{start}"))
                await desk.settle()
                used.extend(message.order_id for message in _placed(desk.broker.sent))

    run(scenario())
    assert len(set(used)) == len(used) == 2
    assert used == sorted(used)


def test_the_orders_of_an_oca_group_do_not_wait_for_a_parent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            group = OrderGroup.oca(buy("one"), buy("two", price="99"), key="pair")
            await desk.orders.submit(group)
            await desk.settle()
            placed = _placed(desk.broker.sent)
            assert [message.transmit for message in placed] == [True, True]
            assert len({message.oca_group for message in placed} - {""}) == 1

    run(scenario())


def test_the_wait_for_a_turn_is_told_apart_from_our_own_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, rate=1) as desk:
            for number in range(3):
                await desk.orders.submit(buy(f"order-{number}"))
            for _ in range(4):
                await desk.settle(1.0)
            waits = desk.registry.timer("trading_system", "pacing_wait_ms").current
            own = desk.registry.timer("trading_system", "submit_to_wire_ms").current
            assert waits.maximum >= 1000.0
            assert own.count == 3
            assert own.maximum < 1.0

    run(scenario())
