"""Orders that left memory are read back, and what is no order is not taken for one."""

from __future__ import annotations

import asyncio
import sqlite3
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from desk_floor import AAPL, NODE, buy, floor, heard, placed, run, sell

from alluse_core.errors import JournalCorrupt, KeyConflict, OrderNotFound
from alluse_core.model import OrderState
from alluse_core.orders.archive import Archive
from alluse_core.orders.book import Book
from alluse_core.orders.identity import References
from alluse_core.orders.journal import Journal
from alluse_core.orders.records import Kind

REFERENCES = References("AU", NODE)


def test_an_order_that_left_memory_is_found_by_its_key_and_by_its_reference(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await desk.orders.submit(buy("one"))
            await desk.orders.flush()
            book = Book()
            book.forgotten = 1
            archive = Archive(book, desk.journal, REFERENCES)
            for found in (archive.by_reference(ticket.order_ref), archive.by_key("one")):
                assert found is not None
                assert found.key == "one"
            assert archive.by_key("two") is None
            assert archive.by_reference("nobody's") is None
            archive.close()
            assert archive.get("one") is found, "it stands in the book again"

    run(scenario())


def test_where_no_order_was_ever_taken_nothing_is_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            archive = Archive(Book(), desk.journal, REFERENCES)
            desk.journal.path = tmp_path / "none.db"
            assert archive.by_key("one") is None
            assert archive.by_reference("ref") is None
            assert archive.adopted("ref") is None
            archive.close()

    run(scenario())


def test_a_story_that_lost_its_intent_makes_no_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.submit(buy("one"))
            body = {"broker": "fake", "account": "DU1", "event": "WORK", "source": "report"}
            row = desk.journal.scribe.row
            desk.journal.append(row(Kind.EVENT, body, "ghost", "ref", OrderState.ACCEPTED))
        async with floor(tmp_path) as desk:
            assert [ticket.key for ticket in desk.orders.all()] == ["one"]
            with pytest.raises(OrderNotFound):
                desk.orders.get("ghost")

    run(scenario())


def test_an_order_that_the_broker_had_and_the_journal_lost_is_found_where_it_stands(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            report = heard(desk)
            name = attrs.evolve(
                report.identity,
                order_ref=desk.orders._parts.references.of("lost"),
                perm_id=77,
                order_id=7,
            )
            desk.broker.say(attrs.evolve(report, identity=name))
            # At once: the journal need not hold it yet.
            with pytest.raises(KeyConflict, match="key 'lost' was used before"):
                await desk.orders.submit(buy("lost"))
            assert len(desk.broker.sent) == 1
            archive = desk.orders._archive
            (adopted,) = (each for each in desk.orders.all() if each != ticket)
            await desk.orders.flush()
            assert archive.adopted(name.order_ref) is archive.get(adopted.key)
            assert archive.adopted("AU-nobodys") is None

    run(scenario())


def _forget_keys(path: Path) -> None:
    """Empty the index of keys, as a damaged page of it would be."""
    connection = sqlite3.connect(path)
    connection.execute("DROP INDEX record_key")
    connection.execute("CREATE INDEX record_key ON record (key, seq) WHERE key = 'nobody'")
    connection.execute("PRAGMA writable_schema = ON")
    sql = "CREATE INDEX record_key ON record (key, seq) WHERE key <> ''"
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'record_key'", (sql,))
    connection.commit()
    connection.close()


def test_until_the_indexes_are_known_to_match_a_key_that_one_of_them_lacks_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Few records would be walked whole, and their indexes looked at, by the opening itself.
    monkeypatch.setitem(Journal.__init__.__kwdefaults__, "whole_below", 0)

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            ticket = await placed(desk)
            await desk.orders.cancel("one")
            await desk.settle()
            assert ticket.state is OrderState.CANCELED
        _forget_keys(tmp_path / "journal.db")
        async with floor(tmp_path) as desk:
            with pytest.raises(JournalCorrupt, match="lacks key 'one', which was used before"):
                await desk.orders.submit(buy("one"))
            assert desk.broker.sent == []
            assert (await desk.orders.submit(buy("two"))).key == "two"
            while "do not match" not in caplog.text:
                # The look runs in a thread of its own; what it found is asked for each second.
                await desk.settle(1)
                await asyncio.sleep(0.01)
            desk.broker.held["DU1", AAPL] = Decimal(100)
            await desk.orders.reconcile("fake")
            with pytest.raises(JournalCorrupt, match="lacks key 'one'"):
                await desk.orders.submit(sell("one"))

    run(scenario())
