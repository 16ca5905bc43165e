"""What goes into the journal comes out of it, and what cannot go in is said."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from desk_floor import AAPL, NODE, Stage, buy, floor, run, sell
from hypothesis import given, settings
from hypothesis import strategies as st

from alluse_core.errors import JournalCorrupt, JournalError, OrderDenied, OrderNotFound
from alluse_core.model import (
    Execution,
    Instrument,
    LinkState,
    Order,
    OrderGroup,
    OrderIdentity,
    OrderState,
    OrderTerms,
    OrderType,
    Side,
    TimeInForce,
)
from alluse_core.model.instrument import ComboLeg
from alluse_core.orders import records
from alluse_core.orders.chain import Anchor, Head, link
from alluse_core.orders.committer import Commit, InlineCommitter, ThreadCommitter
from alluse_core.orders.journal import Journal, JournalReader, verify
from alluse_core.orders.records import Kind
from alluse_core.orders.recovery import rebuild
from alluse_core.orders.storage import Storage
from alluse_core.ports import Decision, OrderView, deny
from alluse_core.telemetry import Registry
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


# --- values -------------------------------------------------------------------------------------

_amounts = st.decimals("0.0001", "1000000", allow_nan=False, places=4)
_orders = st.builds(
    Order,
    st.sampled_from([AAPL, SPREAD, Instrument.forex("EURUSD")]),
    st.sampled_from(Side),
    _amounts,
    st.just(OrderType.STOP_LIMIT),
    st.just("k"),
    limit_price=_amounts,
    stop_price=_amounts,
    outside_rth=st.booleans(),
    reduce_only=st.booleans(),
    broker=st.sampled_from(["fake", "other"]),
    account=st.sampled_from(["", "DU1"]),
)


@settings(max_examples=60, deadline=None)
@given(_orders)
def test_an_order_is_read_back_as_it_was_written(order: Order) -> None:
    written = json.loads(json.dumps(records.order_fields(order)))
    assert records.order_from("k", written) == order
    again = records.order_from("k", written)
    assert records.digest_of(again) == records.digest_of(order)


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": Decimal(101)},
        {"limit_price": Decimal("100.01")},
        {"side": Side.SELL},
        {"time_in_force": TimeInForce.GTC},
        {"time_in_force": TimeInForce.GTD, "good_till": NOW},
        {"outside_rth": True},
        {"reduce_only": True},
        {"account": "DU2"},
        {"broker": "other"},
        {"instrument": Instrument.stock("MSFT")},
        {"order_type": OrderType.STOP, "limit_price": None, "stop_price": Decimal(100)},
        {"order_type": OrderType.MARKET, "limit_price": None},
    ],
)
def test_orders_that_differ_in_one_term_have_different_digests(changes: dict[str, Any]) -> None:
    order = buy("one", broker="fake", account="DU1")
    changed = attrs.evolve(order, **changes)
    assert records.digest_of(order) != records.digest_of(changed)
    assert records.order_from("one", records.order_fields(changed)) == changed


def test_the_same_content_has_the_same_digest_however_it_is_written() -> None:
    zone = records.datetime.fromisoformat("2026-01-05T09:30:00-05:00")
    one = buy("one", time_in_force=TimeInForce.GTD, good_till=NOW)
    two = buy("two", price="100.00", time_in_force=TimeInForce.GTD, good_till=zone)
    assert records.digest_of(one) == records.digest_of(two)


def test_fields_at_their_default_are_left_out() -> None:
    plain = Order.market(AAPL, Side.BUY, 5, key="k", broker="fake", account="DU1")
    assert records.order_fields(plain) == {
        "broker": "fake",
        "account": "DU1",
        "instrument": AAPL.id,
        "side": Side.BUY.value,
        "quantity": "5",
        "type": "MKT",
        "tif": "DAY",
    }


def test_a_fill_and_an_echo_are_read_back_as_they_were_written() -> None:
    for instrument in (AAPL, SPREAD):
        fill = Execution(
            "fake",
            OrderIdentity("AU-1", 7, 8, 9),
            "x.01",
            "DU1",
            instrument,
            Side.SELL,
            Decimal("1.50"),
            Decimal("-3.25"),
            NOW,
            True,
        )
        assert records.execution_from("AU-1", records.execution_fields(fill)) == fill
    terms = OrderTerms(
        SPREAD, Side.BUY, Decimal(5), "LMT", Decimal("9.5"), None, "DAY", "DU1", False
    )
    assert records.terms_fields(terms) == {
        "instrument": records.instrument_fields(SPREAD),
        "side": "BUY",
        "quantity": "5",
        "type": "LMT",
        "limit": "9.5",
        "stop": None,
        "tif": "DAY",
        "account": "DU1",
        "outside_rth": False,
    }
    assert records.terms_fields(attrs.evolve(terms, instrument=None))["instrument"] is None


@pytest.mark.parametrize("written", [None, "0", "-1.50", "1E+3"])
def test_a_number_keeps_its_digits(written: str | None) -> None:
    assert records.text(None if written is None else Decimal(written)) == written
    assert records.text(records.number(written)) == written


def test_without_the_c_encoder_records_are_written_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = [{}, {"b": 1, "a": ["\u00e9", None, 1.5, float("nan")]}, {1: 2}]
    fast = [records._compact()(value) for value in values]
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    assert [records._compact()(value) for value in values] == fast
    assert fast[1] == '{"b":1,"a":["\\u00e9",null,1.5,NaN]}'
    with pytest.raises(TypeError):
        records._dumps({(1, 2): 3})


def test_a_record_names_its_node_and_its_time_to_the_microsecond() -> None:
    clock = VirtualClock(NOW + timedelta(microseconds=123_457))
    scribe = records.Scribe(NODE, clock)
    names = {"tenant": "tenant", "node": "node", "agent": "agent", "incarnation": "incarnation-1"}
    row = scribe.row(Kind.EVENT, {"x": 1}, "k", "r", "ACCEPTED")
    assert json.loads(row.body) == {**names, "x": 1}
    assert row[:5] == (records.microseconds(clock.now()), "event", "k", "r", "ACCEPTED")
    assert row.time == 1_767_623_400_123_457, "what older journals hold"
    assert records.when(row.time) == clock.now()
    assert json.loads(scribe.row(Kind.EVENT, {}).body) == names


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


def test_a_journal_whose_reserve_is_spent_closes(tmp_path: Path) -> None:
    disk = _Failing()
    journal = opened(tmp_path / "journal.db", committer=disk)
    journal._release_reserve()
    assert journal.reserve_spent
    journal.close()


def test_a_closed_journal_takes_nothing_and_closes_again(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    reader = journal.read()
    reserve = tmp_path / "journal.db.reserve"
    assert reserve.stat().st_size == 1 << 20
    journal.close()
    journal.close()
    assert not reserve.exists()
    with pytest.raises(sqlite3.ProgrammingError):
        list(reader.connection.execute("SELECT 1"))
    with pytest.raises(JournalError, match="closed"):
        journal.append(noted(journal))
    anchor = Anchor(tmp_path / "anchor")
    anchor.write(Head(1, b"x"), 1.0)
    anchor.close()
    anchor.close()
    with pytest.raises(OSError, match="closed"):
        anchor.write(Head(2, b"y"), 2.0)


def test_what_was_taken_before_the_close_is_on_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = opened(tmp_path / "journal.db")
        told: list[JournalError | None] = []
        journal.append(noted(journal), then=told.append)
        journal.close()
        assert told == [None]
        await asyncio.sleep(0)
        with JournalReader(tmp_path / "journal.db") as reader:
            assert len(list(reader.entries())) == 1

    run(scenario())


def test_a_close_waits_for_the_writer_thread_and_ends_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = opened(tmp_path / "journal.db", committer=ThreadCommitter())
        journal.append(noted(journal))
        await asyncio.sleep(0)
        journal.close()
        assert not [each for each in threading.enumerate() if each.name == "alluse-journal"]
        assert verify(tmp_path / "journal.db").records == 1

    run(scenario())


# --- failing ------------------------------------------------------------------------------------


class _Failing(InlineCommitter):
    """A disk that fails while ``broken``."""

    broken = False

    def commit(self, rows: Any, done: Any) -> None:
        if self.broken:
            done(Commit(len(rows), 0.25, JournalError("disk full")))
        else:
            super().commit(rows, done)


def test_a_failed_batch_is_told_kept_and_written_with_the_next(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk, registry = _Failing(), Registry()
        journal = opened(tmp_path / "journal.db", committer=disk)
        journal.instrument(registry)
        disk.broken = True
        told: list[JournalError | None] = []
        journal.append(noted(journal, Kind.START))
        journal.append(noted(journal, Kind.IDS), then=told.append)
        with pytest.raises(JournalError, match="disk full"):
            await journal.flushed()
        assert [str(error) for error in told] == ["disk full"]
        assert journal.trouble == "disk full"
        assert journal.committed == 0
        batches = registry.timer("journal", "batch_size", "").rotate(0.0)
        assert (batches.count, batches.mean) == (1, 2.0)
        waits = registry.timer("journal", "commit_ms").rotate(0.0)
        assert (waits.count, waits.mean) == (1, 250.0)
        assert registry.counter("journal", "failures").value == 1
        assert not (tmp_path / "journal.db.reserve").exists(), "it is what exits are written into"
        disk.broken = False
        journal.retry()
        await journal.flushed()
        assert journal.committed == 1
        assert journal.trouble == "the disk was full and the reserve is not back"
        journal.retry()
        assert journal.trouble == ""
        assert (tmp_path / "journal.db.reserve").exists()
        with journal.read() as reader:
            assert [entry.kind for entry in reader.entries()] == ["start"]
        journal.close()

    run(scenario())


class _Slow(InlineCommitter):
    """A disk that holds each batch until it is told what becomes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[tuple[Any, Any]] = []

    def commit(self, rows: Any, done: Any) -> None:
        self.held.append((rows, done))


def test_what_is_taken_while_a_batch_fails_is_written_after_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = _Slow()
        journal = opened(tmp_path / "journal.db", committer=disk)
        journal.append(noted(journal, Kind.START))
        await asyncio.sleep(0)
        journal.append(noted(journal, Kind.NOTICE))
        journal.append(noted(journal, Kind.IDS))
        ((rows, done),) = disk.held
        done(Commit(len(rows), 0.25, JournalError("disk full")))
        await asyncio.sleep(0)
        _, (rows, done) = disk.held
        assert [row.kind for row in rows] == ["start", "notice", "ids"]
        done(Commit(len(rows), 0.25, None))
        assert (journal.committed, journal.failure) == (3, None)
        journal.close()

    run(scenario())


def test_a_reserve_that_does_not_come_back_keeps_new_risk_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        disk = _Failing()
        journal = opened(tmp_path / "journal.db", committer=disk)
        disk.broken = True
        journal.append(noted(journal))
        with pytest.raises(JournalError):
            await journal.flushed()
        disk.broken = False
        journal.retry()
        await journal.flushed()
        monkeypatch.setattr(os, "posix_fallocate", _full)
        journal.retry()
        assert journal.trouble
        monkeypatch.undo()
        journal.retry()
        assert not journal.trouble
        journal.close()

    run(scenario())


def test_who_gave_up_waiting_does_not_disturb_the_journal(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = opened(tmp_path / "journal.db")
        journal.append(noted(journal))
        task = asyncio.ensure_future(journal.flushed())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        await journal.flushed()
        assert task.cancelled()
        assert journal.committed == 1
        journal.close()

    run(scenario())


def test_a_database_that_fails_in_a_batch_is_rolled_back_and_said(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    journal.append(noted(journal))
    head = journal._head
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    journal._connection.execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN IMMEDIATE")
    journal.append(noted(journal))
    assert "1 records could not be written: database is locked" in journal.trouble
    assert journal._head == head
    other.execute("ROLLBACK")
    other.close()
    journal.append(noted(journal))
    assert journal.failure is None
    assert journal.committed == 3, "what failed came with the next batch"
    journal.close()
    with JournalReader(tmp_path / "journal.db") as reader:
        assert [entry.sequence for entry in reader.entries()] == [1, 2, 3]


def test_a_close_that_cannot_write_raises_what_failed(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    journal.append(noted(journal))
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    journal._connection.execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN IMMEDIATE")
    journal.append(noted(journal))
    with pytest.raises(JournalError, match="locked"):
        journal.close()
    other.execute("ROLLBACK")
    other.close()


@pytest.mark.parametrize("kind", [InlineCommitter, ThreadCommitter])
def test_a_closed_committer_refuses_and_closes_again(
    kind: type[InlineCommitter] | type[ThreadCommitter],
) -> None:
    async def scenario() -> None:
        written: list[int] = []
        committer = kind()
        committer.open(lambda rows: written.append(len(rows)))
        committer.close()
        committer.close()
        with pytest.raises(JournalError, match="closed"):
            committer.commit([], lambda _: None)
        assert written == []

    run(scenario())


def test_a_batch_is_on_disk_also_when_its_event_loop_has_ended() -> None:
    written: list[int] = []
    release = threading.Event()

    def write(rows: Any) -> None:
        release.wait(5)
        written.append(len(rows))

    committer = ThreadCommitter()
    committer.open(write)

    async def hand_over() -> None:
        committer.commit([None], lambda _: None)  # type: ignore[list-item]

    asyncio.run(hand_over())
    release.set()
    committer.close()
    assert written == [1]


class _BadAnchor(Anchor):
    """An anchor whose disk fails."""

    def write(self, head: Head, now: float) -> None:
        _full()

    def close(self) -> None:
        super().close()
        _full()


def test_an_anchor_that_fails_stops_new_risk_and_the_records_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.append(noted(journal))
    journal._anchor.close()
    journal._anchor = _BadAnchor(tmp_path / "other")
    journal.append(noted(journal))
    assert journal.trouble == "the journal's anchor cannot be written: No space left on device"
    assert (journal.failure, journal.committed) == (None, 2)
    with pytest.raises(JournalError, match="the anchor cannot be synced"):
        journal.close()
    found = verify(path)
    assert (found.ok, found.records) == (True, 2), "the anchor is behind, never ahead"


def test_an_anchor_that_fails_without_a_number_is_named_by_its_words(tmp_path: Path) -> None:
    class Gone(Anchor):
        def write(self, head: Head, now: float) -> None:
            raise OSError("the disk is gone")

    journal = opened(tmp_path / "journal.db")
    journal._anchor.close()
    journal._anchor = Gone(tmp_path / "other")
    journal.append(noted(journal))
    assert journal.trouble == "the journal's anchor cannot be written: the disk is gone"
    journal._anchor.close()
    journal._anchor = Anchor(tmp_path / "journal.db.anchor")
    journal.retry()
    assert journal.trouble == "", "the next batch, though empty, writes it again"
    journal.close()
    assert verify(tmp_path / "journal.db").ok


def test_what_arrives_while_the_disk_syncs_becomes_one_batch_and_everybody_is_told() -> None:
    written: list[list[Any]] = []
    syncing, release = threading.Event(), threading.Event()

    def write(rows: Any) -> None:
        written.append(list(rows))
        syncing.set()
        release.wait(5)

    async def scenario() -> None:
        committer = ThreadCommitter()
        committer.open(write)
        told: list[tuple[str, Commit]] = []
        for name in ("first", "second", "third"):
            committer.commit([name, name], lambda commit, name=name: told.append((name, commit)))  # type: ignore[misc]
            syncing.wait(5)
        release.set()
        committer.close()
        await asyncio.sleep(0.01)
        assert written == [["first"] * 2, ["second"] * 2 + ["third"] * 2]
        assert [name for name, _ in told] == ["first", "second", "third"]
        assert [commit.records for _, commit in told] == [2, 4, 4]
        assert all(commit.error is None and commit.seconds > 0 for _, commit in told)

    run(scenario())


# --- rebuilding ---------------------------------------------------------------------------------


def test_an_order_is_rebuilt_with_all_that_was_recorded_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.fill(ticket.order_ref, Decimal(40), Decimal("99"))
            desk.broker.answers_modifies = desk.broker.answers_cancels = False
            await desk.orders.modify("one", quantity=150)
            await desk.settle()
            await desk.orders.flush()
            before = desk.orders._live("one")
            again = rebuild(desk.journal.read().story("one"))
            assert again is not None
            for name in (
                "order",
                "digest",
                "ref",
                "state",
                "order_id",
                "client_id",
                "parent_order_id",
                "perm_ids",
                "fills",
                "legs",
                "executed",
                "quantity",
                "exposed",
                "reducing",
                "adopted",
                "durable",
                "group",
                "entry",
                "oca_group",
                "pending",
            ):
                assert getattr(again, name) == getattr(before, name), name
            desk.broker.answers_modifies = True
            desk.broker.modify(
                attrs.evolve(
                    desk.broker.orders[ticket.order_ref].message,
                    order=attrs.evolve(ticket.order, quantity=Decimal(150)),
                ),
                before.identities()[0],
            )
            await desk.orders.cancel("one")
            await desk.settle()
            await desk.orders.flush()
            again = rebuild(desk.journal.read().story("one"))
            assert again is not None
            assert again.order.quantity == 150
            assert [command.state.value for command in again.commands] == ["SENT"]

    run(scenario())


def test_an_intent_without_its_decision_was_not_sent(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    order = sell("one", broker="fake", account="DU1")
    body = {**records.order_fields(order), "digest": records.digest_of(order)}
    journal.append(journal.scribe.row(Kind.ORDER, body, "one", "r", "INTENT"))
    with journal.read() as reader:
        live = rebuild(reader.story("one"))
    assert live is not None
    assert live.state is OrderState.DENIED
    journal.close()


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


def _refuse(order: Order, view: OrderView) -> Decision:
    return deny("too much", limit=5, value=order.quantity, source="test")


def test_a_denial_is_rebuilt_with_the_stage_and_its_figures(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, stages=(Stage(_refuse),)) as desk:
            with pytest.raises(OrderDenied):
                await desk.orders.submit(buy("one"))
            await desk.orders.flush()
            again = rebuild(desk.journal.read().story("one"))
            assert again is not None
            assert again.state is OrderState.DENIED
            assert again.denial is not None
            stage, decision = again.denial
            assert (stage, decision.reason, decision.limit) == ("test_stage", "too much", "5")
            assert (decision.value, decision.source) == ("100", "test")

    run(scenario())


def test_the_orders_of_a_bracket_and_one_that_was_adopted_are_rebuilt_with_their_names(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            bracket = OrderGroup.bracket(buy("entry"), take_profit="110", stop="90")
            await desk.orders.submit(bracket)
            await desk.settle()
            entry = next(iter(desk.broker.orders.values()))
            report = desk.broker.report_of(entry)
            stem = entry.identity.order_ref.rpartition("-")[0]
            lost = OrderIdentity(f"{stem}-LOST", 12, 34, 5)
            desk.broker.say(attrs.evolve(report, identity=lost))
            await desk.orders.flush()
            keys = [live.key for live in desk.orders._book.live("fake")]
            assert len(keys) == 4
            reader = desk.journal.read()
            for key in keys:
                before, again = desk.orders._live(key), rebuild(reader.story(key))
                assert again is not None
                for name in ("order_id", "client_id", "entry", "group", "group_kind"):
                    assert getattr(again, name) == getattr(before, name), (key, name)
                assert again.oca_group == before.oca_group
                assert (again.parent_order_id, again.adopted) == (
                    before.parent_order_id,
                    key.startswith("orphan/"),
                )
            exits = [rebuild(reader.story(key)) for key in keys[1:3]]
            assert all(each is not None and each.oca_group and each.entry for each in exits)
            adopted = rebuild(reader.story(keys[3]))
            assert adopted is not None
            assert (adopted.order_id, adopted.client_id) == (34, 5)

    run(scenario())


def test_a_command_that_was_deferred_may_have_been_sent_for_all_a_restart_knows(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.submit(buy("one"))
            await desk.settle()
            desk.broker.turn(LinkState.DOWN)
            cancel = await desk.orders.cancel("one")
            await desk.settle()
            assert cancel.state.value == "QUEUED"
            await desk.orders.flush()
            again = rebuild(desk.journal.read().story("one"))
            assert again is not None
            assert [each.state.value for each in again.commands] == ["SENT"]

    run(scenario())


def test_a_command_whose_request_was_not_written_down_changes_no_rebuilt_order(
    tmp_path: Path,
) -> None:
    journal = opened(tmp_path / "journal.db")
    order = buy("one", broker="fake", account="DU1")
    body = {**records.order_fields(order), "digest": records.digest_of(order)}
    journal.append(
        journal.scribe.row(Kind.ORDER, body, "one", "r", "SUBMITTED"),
        journal.scribe.row(
            Kind.COMMAND,
            {"command": 7, "event": "CONFIRM", "command_state": "CONFIRMED"},
            "one",
            "r",
            "ACCEPTED",
        ),
    )
    with journal.read() as reader:
        live = rebuild(reader.story("one"))
    assert live is not None
    assert (live.order, live.state, live.commands) == (order, OrderState.ACCEPTED, [])
    journal.close()
