"""A bot on a bare library: what is counted of it is there, and seeds repeat."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from alluse_sim.bare import plan_for, play
from alluse_sim.bare_table import add_up, compare, table

from alluse_core.errors import UsageError


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
