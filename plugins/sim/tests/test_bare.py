"""A bot on a bare library: what is counted of it is there, and seeds repeat."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alluse_sim.bare import plan_for, play
from alluse_sim.bare_table import ROWS, add_up, compare, table

from alluse_core.errors import UsageError

PAGE = Path(__file__).resolve().parents[3] / "docs" / "explanation" / "what-bare-clients-lose.md"


@pytest.mark.slow
@pytest.mark.parametrize("client", ["ib_insync", "ib_async"])
def test_a_bare_client_loses_orders_where_alluse_loses_none(client: str) -> None:
    sums = add_up(client, [compare(seed, client) for seed in (1, 4)])
    assert sums["bare"]["never_arrived"] > 0
    assert sums["bare"]["cancelled_yet_alive"] > 0
    assert sums["retrying"]["sent_twice"] > 0
    assert sums["alluse"]["sessions_wrong"] == 0
    assert sums["alluse"]["sent_twice"] == 0
    assert table(sums).count("\n") == 10


@pytest.mark.slow
def test_a_session_without_faults_is_told_rightly_by_everybody() -> None:
    from attrs import evolve

    calm = evolve(plan_for(1, "ib_insync"), faults=())
    assert not play(calm, retry=False).any
    assert not play(calm, retry=True).any


@pytest.mark.slow
def test_the_same_seed_loses_the_same() -> None:
    plan = plan_for(3, "ib_insync")
    assert play(plan, retry=True) == play(plan, retry=True)


def test_another_library_is_named_as_unknown() -> None:
    with pytest.raises(UsageError, match="ib_async"):
        plan_for(1, "ib_asinc")


def test_the_page_shows_the_tables_that_its_commands_print() -> None:
    text = PAGE.read_text("utf-8")
    commands = re.findall(r"^alluse (torture --client (\w+) --sessions (\d+))$", text, re.MULTILINE)
    assert {client for _, client, _ in commands} == {"ib_insync", "ib_async"}
    empty = dict.fromkeys((*(name for name, _ in ROWS), "unknown", "sessions_wrong"), 0)
    for _, client, sessions in commands:
        sums = {"client": client, "sessions": int(sessions)}
        printed = table({**sums, "bare": empty, "retrying": empty, "alluse": empty})
        for line in printed.splitlines():
            wanted = re.escape(line).replace(r"\ 0\ ", r" [\d,]+ ")
            assert len(re.findall(f"^{wanted}$", text, re.MULTILINE)) in (1, 2), line


@pytest.mark.slow
def test_the_command_counts_one_session_as_json() -> None:
    command = [sys.executable, "-m", "alluse_core", "torture", "--client", "ib_insync"]
    run = subprocess.run(
        [*command, "--sessions", "1", "--seed", "2", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout)["sessions"] == 1
