"""What the journal tells of orders, and how one that cannot be used says so."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import AAPL, NODE, buy, floor, heard, placed, run, terms_of

from alluse_core.errors import JournalCorrupt, JournalError, OrderNotFound
from alluse_core.model import (
    Execution,
    Instrument,
    Order,
    OrderIdentity,
    OrderState,
    Side,
)
from alluse_core.model.instrument import ComboLeg
from alluse_core.orders import records
from alluse_core.orders.chain import link
from alluse_core.orders.committer import InlineCommitter
from alluse_core.orders.journal import Journal, JournalReader, verify
from alluse_core.orders.records import Kind
from alluse_core.orders.recovery import rebuild
from alluse_core.orders.storage import Storage
from alluse_core.testing import VirtualClock

SPREAD = Instrument.combo(
    "SPY",
    (
        ComboLeg(Instrument.stock("SPY"), Side.BUY, 1),
        ComboLeg(Instrument.stock("QQQ"), Side.SELL, 2),
    ),
    "CBOE",
    "EUR",
)
NOW = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


def opened(path: Path, **more: Any) -> Journal:
    committer = more.pop("committer", None) or InlineCommitter()
    return Journal(path, clock=VirtualClock(), node=NODE, committer=committer, **more)


def noted(journal: Journal, kind: Kind = Kind.NOTICE) -> records.Row:
    return journal.scribe.row(kind, {"n": 1})


# --- reading ------------------------------------------------------------------------------------


def test_what_was_traded_counts_a_combo_once_by_its_legs(tmp_path: Path) -> None:
    """Recomputed from the database itself: the legs, in their newest revisions, and no combo."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            combo = await desk.orders.submit(Order.limit(SPREAD, Side.BUY, 3, "2", key="combo"))
            await desk.orders.submit(buy("stock"))
            await desk.settle()
            name = desk.broker.orders[combo.order_ref].identity

            def told(identity: OrderIdentity, number: str, what: Instrument, *terms: Any) -> None:
                side, quantity, price = terms
                fill = Execution(
                    "fake",
                    identity,
                    number,
                    "DU1",
                    what,
                    side,
                    Decimal(quantity),
                    Decimal(price),
                    desk.clock.now(),
                )
                desk.broker.say(fill)

            told(name, "c.01", SPREAD, Side.BUY, 3, "2")
            long, short = (leg.instrument for leg in SPREAD.legs)
            told(name, "long.01", long, Side.BUY, 3, "10")
            told(name, "short.01", short, Side.SELL, 6, "4")
            told(name, "short.02", short, Side.SELL, 6, "4.5")
            by_hand = OrderIdentity("", 99, -1, 0)
            told(by_hand, "h.01", AAPL, Side.SELL, 7, "100")
            told(by_hand, "hc.01", Instrument.combo("SPY", ()), Side.SELL, 1, "1")
            desk.broker.fill(desk.orders.get("stock").order_ref)
            await desk.settle()
            held = {row.instrument.id: row.quantity for row in desk.orders.positions().rows}
        with JournalReader(tmp_path / "journal.db") as reader:
            traded, fills = reader.traded(), list(reader.fills())
        moved: dict[str, Decimal] = {}
        for fill in traded:
            each = fill.execution
            signed = each.quantity * each.side.sign
            moved[each.instrument.id] = moved.get(each.instrument.id, Decimal(0)) + signed
        assert moved == held == {long.id: 3, short.id: -6, AAPL.id: 93}
        assert [each.base for each in fills if each.fills_order and each.key == "combo"] == ["c"]
        assert [each.base for each in fills if not each.key] == ["h", "hc"]
        value = sum(each.execution.quantity * each.execution.price for each in traded)
        assert value == _value_by_hand(tmp_path / "journal.db") == 30 + 27 + 700 + 10_000
        assert _filled_by_key(tmp_path) == {"combo": 3, "stock": 100}

    run(scenario())


def _filled_by_key(folder: Path) -> dict[str, Decimal]:
    with JournalReader(folder / "journal.db") as reader:
        return {each.key: each.filled for each in reader.orders()}


def _value_by_hand(path: Path) -> Decimal:
    newest: dict[str, Decimal] = {}
    with contextlib.closing(sqlite3.connect(path)) as database:
        for (body,) in database.execute("SELECT body FROM record WHERE kind = 'fill' ORDER BY seq"):
            fields = json.loads(body)
            if isinstance(fields["instrument"], str):
                value = Decimal(fields["quantity"]) * Decimal(fields["price"])
                newest[fields["execution_id"].rpartition(".")[0]] = value
    return sum(newest.values(), Decimal(0))


def test_records_are_found_by_kind_and_by_time(tmp_path: Path) -> None:
    clock = VirtualClock(NOW + timedelta(microseconds=1))
    journal = Journal(tmp_path / "journal.db", clock=clock, node=NODE, committer=InlineCommitter())
    moments = []
    for number in range(4):
        moments.append(clock.now())
        journal.append(journal.scribe.row((Kind.START, Kind.NOTICE)[number % 2], {"n": number}))
        clock._monotonic += 0.1
    with journal.read() as reader:

        def found(*where: Any) -> list[int]:
            return [entry.body["n"] for entry in reader.entries(*where)]

        assert found() == [0, 1, 2, 3]
        assert found(Kind.NOTICE) == [1, 3]
        assert found("", moments[1]) == [1, 2, 3]
        assert found("", None, moments[2]) == [0, 1]
        assert found(Kind.START, moments[1], moments[3]) == [2]
        assert [entry.time for entry in reader.entries()] == moments
    journal.close()


def test_the_journal_tells_of_orders_states_fills_and_numbers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            tickets = {}
            for key, price in (("one", "100"), ("two", "101"), ("three", "102")):
                tickets[key] = await desk.orders.submit(buy(key, price=price))
                await desk.settle()
            desk.broker.fill(tickets["one"].order_ref, Decimal(40), Decimal("99"))
            desk.broker.fill(tickets["one"].order_ref, Decimal(60), Decimal("100"))
            first = desk.broker.fills[0]
            corrected = first.execution_id.rpartition(".")[0] + ".02"
            desk.broker.say(attrs.evolve(first, execution_id=corrected, price=Decimal("94")))
            await desk.orders.modify("two", limit_price="101.5")
            await desk.settle()
            await desk.orders.cancel("three")
            await desk.settle()
            await desk.orders.flush()
            reader = desk.journal.read()
            one = reader.order("one")
            assert (one.filled, one.average_price) == (100, Decimal("97.6"))
            assert (one.state, one.group) == (OrderState.FILLED, "")
            assert one.submitted_at == NOW
            desk.broker.answers_modifies = False
            await desk.orders.modify("two", limit_price="102.5")
            await desk.settle()
            await desk.orders.flush()
            two = reader.order("two")
            assert (two.order.limit_price, two.filled, two.average_price) == (
                Decimal("101.5"),
                0,
                None,
            )
            assert [each.key for each in reader.orders()] == ["three", "two", "one"]
            assert [each.key for each in reader.orders(limit=2)] == ["three", "two"]
            assert [each.key for each in reader.orders(OrderState.FILLED)] == ["one"]
            assert [each.key for each in reader.orders(OrderState.UNKNOWN)] == []
            assert [each.key for each in reader.orders(OrderState.ACCEPTED, limit=1)] == ["two"]
            assert reader.counts() == {
                OrderState.FILLED: 1,
                OrderState.ACCEPTED: 1,
                OrderState.CANCELED: 1,
            }
            assert [(fill.key, fill.execution.price) for fill in reader.fills()] == [
                ("one", 99),
                ("one", 100),
                ("one", 94),
            ]
            assert list(reader.fills(start=NOW + timedelta(days=1))) == []
            highest = max(desk.orders._live(key).order_id for key in tickets)
            assert reader.highest_order_ids("fake") == {1: highest}
            assert reader.highest_order_ids("other") == {}
            assert reader.key_of(tickets["two"].order_ref) == "two"
            assert reader.key_of("AU-none") is None
            with pytest.raises(OrderNotFound, match="'four'"):
                reader.order("four")

    run(scenario())


def test_records_of_a_key_without_its_order_are_corrupt_and_not_an_order(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    journal.append(journal.scribe.row(Kind.EVENT, {"event": "WORK"}, "k", "r", "ACCEPTED"))
    with journal.read() as reader:
        with pytest.raises(JournalCorrupt, match="no order for key 'k'"):
            reader.order("k")
        assert rebuild(reader.story("k")) is None
    journal.close()


def test_a_file_that_breaks_under_its_reader_is_corrupt_and_not_empty(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.append(noted(journal))
    journal.close()
    with JournalReader(path) as reader:
        path.write_bytes(b"\xff" * path.stat().st_size)
        with pytest.raises(JournalCorrupt, match="cannot be read"):
            list(reader.entries())


def test_another_thread_may_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = opened(tmp_path / "journal.db")
        journal.append(noted(journal))
        await journal.flushed()
        assert len(await asyncio.to_thread(list, journal.read().entries())) == 1
        journal.close()

    run(scenario())


def test_a_reader_that_was_left_reads_no_more(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    journal.close()
    with JournalReader(tmp_path / "journal.db") as reader:
        assert list(reader.entries()) == []
    with pytest.raises(JournalCorrupt, match="closed database"):
        list(reader.entries())


# --- opening and closing ------------------------------------------------------------------------


def test_a_journal_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(JournalError, match="cannot be opened"):
        opened(tmp_path / "journal.db")


def test_a_journal_that_cannot_be_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    opened(path).close()
    connect = sqlite3.connect

    def read_only(_: Path, **more: Any) -> sqlite3.Connection:
        return connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    with pytest.raises(JournalError, match="cannot be written") as caught:
        opened(path)
    assert not isinstance(caught.value, JournalCorrupt)


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_start_without_space_for_the_reserve_is_refused_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", _full)
    with pytest.raises(JournalError, match=r"no space .* No space left on device"):
        opened(tmp_path / "journal.db")
    assert not list(tmp_path.glob("*.reserve"))


def test_a_disk_that_does_not_even_make_the_reserves_file_is_said_to_be_full(
    tmp_path: Path,
) -> None:
    storage = Storage(allocate=_full)
    with pytest.raises(JournalError, match=r"no space .* No space left on device"):
        opened(tmp_path / "journal.db", storage=storage)


def test_a_last_record_that_was_rewritten_with_its_hash_is_not_the_one_the_anchor_names(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.append(noted(journal))
    before = journal._head
    row = noted(journal)
    journal.append(row)
    journal.close()
    forged = row._replace(body=row.body.replace('"n":1', '"n":2'))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE record SET body = ?, hash = ? WHERE seq = 2",
            (forged.body, link(before.hash, 2, forged)),
        )
    found = verify(path)
    assert (found.problem, found.at) == ("record 2 is not the one the anchor names", 2)


def test_an_order_has_the_terms_of_a_change_that_was_carried_out_after_all(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await placed(desk)
            desk.broker.answers_modifies = False
            await desk.orders.modify("one", quantity=150)
            await desk.settle(60)
            await desk.orders.reconcile("fake")
            await desk.orders.flush()
            reader = desk.journal.read()
            assert reader.order("one").order.quantity == 100, "the list has the old terms"
            desk.broker.say(terms_of(heard(desk), quantity=Decimal(150)))
            await desk.orders.flush()
            assert reader.order("one").order.quantity == 150

    run(scenario())
