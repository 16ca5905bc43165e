"""What a running journal wrote is read back, and a checkpoint signs off what came back whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from desk_floor import buy, floor, run
from signed_journal import closed_journal, edit, ended, event, live, opened, stored, stories

from alluse_core.orders.chain import link
from alluse_core.orders.checkpoint import checkpoint_path, read_checkpoint


@pytest.fixture
def path() -> Iterator[Path]:
    """A closed journal: record 1 to 2 are of an order that lives, 3 to 62 of twenty that ended."""
    with closed_journal() as path:
        yield path


def test_one_new_record_is_worth_a_checkpoint_when_the_journal_closes(path: Path) -> None:
    journal = opened(path)
    event(journal, "lives", "ACCEPTED")
    journal.close()
    checkpoint = read_checkpoint(checkpoint_path(path))
    assert checkpoint is not None
    assert checkpoint.walk.head.sequence == 63


def test_nothing_is_read_back_where_nothing_is_new(path: Path) -> None:
    journal = opened(path)
    journal.sign_off()
    assert journal._readers == []
    event(journal, "lives", "ACCEPTED")
    journal.sign_off()
    journal.sign_off()
    assert len(journal._readers) == 1
    journal.close()


def test_new_records_are_read_back_some_at_a_time(path: Path) -> None:
    journal = opened(path)
    ended(journal, 400, 100)
    for expected in (312, 562, 812, 1062, 1262, 1262):
        journal.sign_off()
        assert journal._history.signed == expected
    kept = read_checkpoint(checkpoint_path(path))
    assert kept is not None
    assert kept.walk.head.sequence == 1062, "it is written every thousand records"
    journal.close()
    kept = read_checkpoint(checkpoint_path(path))
    assert kept is not None
    assert kept.walk.head.sequence == 1262


def test_the_more_orders_live_the_rarer_the_checkpoint_is_written(path: Path) -> None:
    journal = opened(path)
    for number in range(600):
        live(journal, f"more-{number}")
        journal.sign_off()
    kept = read_checkpoint(checkpoint_path(path))
    assert kept is not None
    assert kept.walk.head.sequence == 62
    journal.close()


def test_a_running_order_service_signs_off_what_it_wrote(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.submit(buy("one"))
            await desk.settle(3.0)
            assert desk.journal._history.signed == desk.journal._head.sequence
            assert desk.journal.problem == ""

    run(scenario())


def test_what_does_not_come_back_as_it_was_written_stops_new_risk(path: Path) -> None:
    journal = opened(path)
    live(journal, "one")
    edit(path, "UPDATE record SET state = 'FILLED' WHERE seq = 64")
    journal.sign_off()
    assert journal.problem == "record 64 is not what was written"
    journal.close()
    kept = read_checkpoint(checkpoint_path(path))
    assert kept is not None
    assert kept.walk.head.sequence == 62, "what is not whole is not signed"


def test_records_that_cannot_be_read_back_are_a_problem_and_a_mute_disk_waits(path: Path) -> None:
    journal = opened(path)
    live(journal, "one")
    edit(path, "ALTER TABLE record RENAME TO hidden")
    journal.sign_off()
    assert journal.problem == "", "it is asked again later"
    edit(path, "ALTER TABLE hidden RENAME TO record")
    edit(path, "UPDATE record SET kind = 'control', key = '', body = '[' WHERE seq = 64")
    # The hash is made to fit, so that only its content is wrong.
    (_, row, before) = stored(path, 64)
    fitting = link(before, 64, row)
    edit(path, "UPDATE record SET hash = ? WHERE seq = 64", fitting)
    journal.sign_off()
    assert journal.problem.startswith("what follows record 64 cannot be read: ")
    journal.close()


def test_a_problem_found_at_the_opening_stays_whatever_is_read_back(path: Path) -> None:
    edit(path, "UPDATE record SET body = '{}' WHERE seq = 2")
    journal = opened(path)
    for _ in range(2):
        assert journal.problem == "record 2 is not what was written"
        event(journal, "lives", "ACCEPTED")
        journal.sign_off()
    journal.close()


def test_a_checkpoint_that_cannot_be_written_is_done_without(path: Path) -> None:
    checkpoint_path(path).unlink()
    checkpoint_path(path).mkdir()
    journal = opened(path)
    live(journal, "one")
    journal.close()
    journal = opened(path)
    assert set(stories(journal)) == {"lives", "one"}
    journal.close()
