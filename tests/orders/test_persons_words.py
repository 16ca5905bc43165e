"""A person's words: no name and no reason forges a line or a colour where it is shown."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from desk_floor import NODE, floor, placed, run

from alluse_core.cli import stopping
from alluse_core.errors import UsageError
from alluse_core.model import BrokerNotice, OrderState
from alluse_core.orders.journal import Journal, JournalReader
from alluse_core.orders.persons import is_one_line, one_line
from alluse_core.orders.records import Kind
from alluse_core.ports import TradingState
from alluse_core.testing import VirtualClock

FORGED = [
    "Ada\nBob resumed",
    "\x1b[31mAda",
    "Ada\r",
    "Ada\x00",
    "Ada\u2028Bob",
    "\u202eadA",
    "\x9b2J",
]
PLAIN = ["Ada", "Jörg Müller", "Ada\u00a0L.", "李雷", "O'Neil (desk 4) <a@b.c>"]


NO_NAME = [("", "the name of who decides"), (" \t", "the name of who decides")]


@pytest.mark.parametrize(("text", "said"), [*((each, "one line") for each in FORGED), *NO_NAME])
def test_what_is_no_name_on_one_line_lets_no_new_risk_in(
    tmp_path: Path, text: str, said: str
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await placed(desk)
            await desk.orders.halt("test")
            written = desk.journal.committed
            for asked in (
                desk.orders.resume(text),
                desk.orders.approve(text),
                desk.orders.lift_canary(text),
                desk.orders.close_breaker("fake", text),
                desk.orders.resolve("one", OrderState.CANCELED, text),
            ):
                with pytest.raises(UsageError, match=said) as told:
                    await asked
                assert is_one_line(str(told.value)), "the error does not show it raw either"
                assert told.value.hint
            assert desk.orders.state is TradingState.HALTED
            assert desk.journal.committed == written

    run(scenario())


@pytest.mark.parametrize("verb", ["halt", "reduce"])
@pytest.mark.parametrize("text", FORGED)
def test_a_halt_is_never_refused_over_its_reason_and_shows_one_line(
    tmp_path: Path, verb: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as an exception's text, by an agent that is in trouble."""

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            with caplog.at_level(logging.WARNING):
                await getattr(desk.orders, verb)(text)
            assert desk.orders.state is not TradingState.ACTIVE
            assert desk.orders.reason == one_line(text)
            assert is_one_line(desk.orders.reason)
        with JournalReader(tmp_path / "journal.db") as reader:
            reasons = [
                each.body["reason"] for each in reader.entries() if each.kind == Kind.CONTROL
            ]
        assert reasons[-1] == one_line(text)

    run(scenario())
    assert all(is_one_line(record.getMessage()) for record in caplog.records)


def test_the_broker_forges_no_line_of_a_page(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.broker.say(BrokerNotice("fake", 201, "no\n\x1b[2Jresumed by Ada"))
            desk.orders._control.page("says\n\x1b[2Jresumed by Ada")
            assert is_one_line(desk.orders.reason)
            desk.orders._control.page("another\nresumed by Ada")
            await desk.settle()
        with JournalReader(tmp_path / "journal.db") as reader:
            for each in reader.entries():
                assert is_one_line(str(each.body.get("paged", "")))

    run(scenario())


@pytest.mark.parametrize("text", PLAIN)
def test_a_plain_name_stays_as_it_is(tmp_path: Path, text: str) -> None:
    assert is_one_line(text)
    assert one_line(text) == text

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.halt(text)
            assert desk.orders.reason == text
            await desk.orders.resume(text)
            assert desk.orders.state is TradingState.ACTIVE

    run(scenario())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (stopping.halt, ("--reason",)),
        (stopping.reduce, ("--reason",)),
        (stopping.resume, ("--by",)),
        (stopping.approve, ("--by",)),
        (stopping.lift, ("--by",)),
        (stopping.resolve, ("key", "--as", "FILLED", "--by")),
        (stopping.close_breaker, ("main", "--by")),
    ],
)
@pytest.mark.parametrize("text", FORGED)
def test_the_command_line_refuses_it_as_a_usage_error(
    tmp_path: Path, command: Any, words: tuple[str, ...], text: str
) -> None:
    asked = CliRunner().invoke(command, [*words, text, "--state", str(tmp_path)])
    assert asked.exit_code == 2
    assert "control characters" in asked.output
    assert all(is_one_line(line) for line in asked.output.split("\n"))
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_shows_a_forged_reason_of_an_older_journal_on_one_line(
    tmp_path: Path,
) -> None:
    node_journal = Journal(tmp_path / "journal.db", clock=VirtualClock(), node=NODE)
    body = {"action": "halt", "state": "HALTED", "reason": "a\n\x1b[32mACTIVE", "by": ""}
    node_journal.append(node_journal.scribe.row(Kind.CONTROL, body))
    node_journal.close()
    told = CliRunner().invoke(stopping.status, ["--state", str(tmp_path)])
    assert told.exit_code == 0, told.output
    assert "\x1b" not in told.output
    assert [line for line in told.output.splitlines() if line.startswith("ACTIVE")] == []
