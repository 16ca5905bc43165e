"""No order is lost or sent twice: seeded sessions in virtual time, and bugs that must be seen.

``ALLUSE_SESSIONS=1000`` plays that many seeds, ``ALLUSE_REPEATS`` that many twice, from the one
that ``ALLUSE_REPEATS_FROM`` counts to on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from alluse_sim import planted
from alluse_sim.plan import Plan
from alluse_sim.session import simulate
from alluse_sim.stopping import overclosed
from alluse_sim.torture import Tally, hunt, torture

SESSIONS = int(os.environ.get("ALLUSE_SESSIONS", "500"))
REPEATS = int(os.environ.get("ALLUSE_REPEATS", "50"))
FIRST_REPEAT = 1 + int(os.environ.get("ALLUSE_REPEATS_FROM", "0"))
BRACKETED = max(6, SESSIONS // 80)


@pytest.fixture(scope="module")
def digests() -> dict[int, str]:
    """What sessions that were played came to, by seed; with hash seed 1."""
    return {}


@pytest.mark.slow
@pytest.mark.timeout(300 + SESSIONS)
def test_no_order_is_lost_or_sent_twice_and_every_one_is_told_of_truly(
    digests: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    total = Tally()
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    for result in torture(range(1, SESSIONS + 1)):
        total.add(result)
        digests[result.plan.seed] = result.digest
    told = "\n".join(f"{each}" for each in total.broken)
    assert not total.broken, f"{told}\nagain: alluse torture --sessions 1 --seed N"
    assert total.sent > 20 * SESSIONS, "sessions in which little was sent show little"
    assert total.fills > 5 * SESSIONS
    assert total.kills > SESSIONS // 10


def test_every_fifth_session_stops_resumes_and_gives_calls_up() -> None:
    plans = [Plan.draw(seed) for seed in range(1, 500)]
    assert 60 < sum(plan.stops for plan in plans) < 140
    assert not Plan.through("1100-with-fills").stops


def test_a_flatten_beside_an_exit_at_work_is_seen_and_one_beside_its_stop_is_not() -> None:
    def order(number: int, ref: str, side: str, quantity: int, kind: str) -> list[dict[str, Any]]:
        name = {"client_id": 1, "order_id": number, "order_ref": ref, "at": float(number)}
        terms = {"symbol": "AAPL", "side": side, "quantity": quantity, "order_type": kind}
        more = {"parent_id": 0, "oca_group": "", "perm_id": number, "seq": number}
        common = {**name, **terms, **more}
        return [{**common, "event": "place"}, {**common, "event": "placed"}]

    def filled(number: int, side: str, quantity: int) -> dict[str, Any]:
        told = {"event": "fill", "symbol": "AAPL", "side": side, "quantity": quantity}
        return {**told, "perm_id": number, "at": float(number), "seq": number}

    held = [*order(1, "entry", "BUY", 100, "LMT"), filled(1, "BUY", 100)]
    flatten = order(20, "flat", "SELL", 100, "MKT")
    assert overclosed([*held, *order(2, "stop", "SELL", 100, "STP"), *flatten], {"flat"}) == []
    beside = [*held, *order(2, "exit", "SELL", 100, "MKT"), *flatten]
    assert len(overclosed(beside, {"flat"})) == 1
    assert overclosed(beside, {"another"}) == []
    ended = [*beside[:-2], {**beside[-1], "event": "canceled", "perm_id": 2}, *flatten]
    assert overclosed(ended, {"flat"}) == []
    assert len(overclosed(flatten, {"flat"})) == 1, "nothing is held at all"
    part = [*held, *order(2, "exit", "SELL", 100, "LMT"), filled(2, "SELL", 40)]
    rest = order(20, "flat", "SELL", 60, "MKT")
    smaller = {**part[-2], "event": "replaced", "quantity": 40}
    assert overclosed([*part, smaller, *rest], {"flat"}) == []
    assert len(overclosed([*part, {**smaller, "quantity": 41}, *rest], {"flat"})) == 1


def test_a_session_has_three_kinds_of_fault_and_75_orders_or_more() -> None:
    plans = [Plan.draw(seed) for seed in range(1, 200)]
    assert all(len(set(plan.faults)) >= 3 for plan in plans)
    assert all(plan.orders >= 75 for plan in plans)


_DIGESTS = """
import logging, sys
logging.disable(logging.CRITICAL)
from alluse_sim.torture import torture
for result in torture(range(int(sys.argv[1]), int(sys.argv[2])), 2):
    print(result.plan.seed, result.digest, flush=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(300 + REPEATS)
def test_the_same_seed_plays_the_same_session_in_another_process(
    ran: Callable[[int], None], digests: dict[int, str]
) -> None:
    seeds = range(FIRST_REPEAT, FIRST_REPEAT + REPEATS)

    def play(hash_seed: str) -> Iterator[str]:
        # Another hash seed: what depends on the order of a set shows itself.
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        with subprocess.Popen(
            [sys.executable, "-c", _DIGESTS, f"{seeds.start}", f"{seeds.stop}"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            assert process.stdout is not None
            yield from process.stdout
        assert process.returncode == 0

    played = digests.keys() >= set(seeds)
    first = []
    for line in [f"{seed} {digests[seed]}\n" for seed in seeds] if played else play("1"):
        first.append(line)
        ran(0)
    assert len(set(first)) == REPEATS
    second = iter(first)
    for line in play("2"):
        assert line == next(second)
        ran(1)
    assert next(second, None) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", planted.BUGS)
def test_a_planted_bug_is_caught(name: str) -> None:
    found = hunt(name)
    assert found.caught, f"nothing noticed that this rule was broken: {found.undoes}"
    if name in planted.OF_PROTECTION:
        # Only the comparison of what is held with what covers it can show these.
        assert all("open without protection" in problem for problem in found.problems)


@pytest.mark.slow
def test_sessions_full_of_brackets_are_covered_or_told() -> None:
    problems, bare, reductions = [], 0, 0
    for seed in range(1, BRACKETED + 1):
        result = simulate(Plan.draw(seed, brackets=0.4, cap=0))
        problems += [str(result)] if result.problems else []
        bare += result.unprotected > 0
        reductions += result.reductions
    assert not problems, "\n".join(problems)
    assert reductions > BRACKETED // 2, "sessions without a part-filled take-profit show little"
    assert bare > BRACKETED // 10, "sessions in which all is covered show little"


def test_at_least_twenty_bugs_are_planted() -> None:
    assert len(planted.BUGS) >= 20


def test_a_bug_is_gone_when_it_is_no_longer_planted() -> None:
    bug = planted.find("key-taken-twice")
    with bug.planted():
        assert simulate(bug.session(1)).problems
    assert not simulate(bug.session(1)).problems


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alluse_core", "torture", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_plays_one_session_again_and_tells_it() -> None:
    told = [_run("--sessions", "1", "--seed", "9", "--json") for _ in range(2)]
    assert [each.returncode for each in told] == [0, 0]
    first, second = (json.loads(each.stdout) for each in told)
    assert first["digest"] == second["digest"]
    assert first["orders"] > 50


@pytest.mark.slow
def test_the_command_fails_where_a_bug_is_missed_and_names_unknown_ones() -> None:
    caught = _run("--planted", "key-taken-twice", "--json")
    assert caught.returncode == 0, caught.stderr
    assert json.loads(caught.stdout)["caught"] == 1
    unknown = _run("--planted", "key-taken-twic")
    assert unknown.returncode == 2
    assert "key-taken-twice" in unknown.stderr
