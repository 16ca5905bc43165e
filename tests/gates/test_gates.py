"""The long gates' runner: budgets, parts that break or hang, and counts that are true."""

from __future__ import annotations

import importlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
try:
    from gates.__main__ import main
    from gates.part import Part, Turn, next_round, share
    from gates.process import OUT_OF_TIME, Ended, environment_of
    from gates.run import ALL, ENOUGH, Run, in_folder
    from gates.table import PARTS
    from gates.told import Broken, Told
finally:
    sys.path.remove(str(ROOT))


def part(**more: Any) -> Part:
    given = {"name": "one", "wanted": 100, "short": 10, "cost": 1.0, "unit": "things", **more}
    return Part(**{"shows": "something", "turn": turn_of, **given})


def turn_of(first: int, count: int) -> Turn:
    return Turn(["play", str(first), str(count)], {"ALLUSE_COUNT": str(count)})


# --- the budget -----------------------------------------------------------------------------------


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=8), st.floats(0, 1e5))
def test_shares_by_weight_use_all_the_time_and_no_more(weights: list[float], left: float) -> None:
    total = 0.0
    for place in range(len(weights)):
        total += share(weights[place:], left - total)
    assert total == pytest.approx(left, abs=1e-6)


def test_time_that_a_part_leaves_goes_to_those_after_it() -> None:
    assert share([1, 1, 2], 400) == 100
    assert share([1, 2], 400 - 10) == 130


@settings(deadline=None)
@given(
    wanted=st.integers(1, 10_000),
    grain=st.sampled_from([1, 10, 30]),
    short=st.integers(0, 500),
    cost=st.floats(0.001, 50),
    left=st.floats(-10, 1e5) | st.just(math.inf),
)
def test_rounds_grow_within_the_time_that_is_left(
    wanted: int, grain: int, short: int, cost: float, left: float
) -> None:
    chosen = part(wanted=wanted, grain=grain, short=short)
    first = next_round(chosen, 0, 0, cost, left)
    assert 0 < first <= wanted, "a part gets its first round even without time"
    later = next_round(chosen, first, first, cost, left)
    assert later <= min(2 * first, wanted - first)
    assert later % grain == 0 or later == wanted - first
    assert later * cost <= max(left, 0.0) + 1e-6


def test_a_round_is_not_so_long_that_it_cannot_be_played_again() -> None:
    assert next_round(part(wanted=10_000), 4_000, 4_000, 1.0, math.inf) == 600
    assert next_round(part(wanted=10_000), 1, 1, 5_000.0, math.inf) == 1


def test_slices_go_one_by_one_and_what_goes_in_one_go_is_asked_for_once() -> None:
    sliced = part(wanted=0, slices=16)
    assert [next_round(sliced, done, done, 1.0, 1e6) for done in (0, 1, 15, 16)] == [1, 1, 1, 0]
    once = part(in_one_go=True)
    assert [next_round(once, done, done, 1.0, 1e6) for done in (0, 40)] == [100, 0]


# --- parts, played by a stand-in ------------------------------------------------------------------


class Stage:
    """Plays rounds without processes: each step takes a second of this clock."""

    def __init__(self, **results: Callable[[Told, int], str]) -> None:
        self.now = 0.0
        self.results = results
        self.turns: list[tuple[int, int]] = []

    def play(
        self, chosen: Part, turn: Turn, left: float, heard: Callable[[Told, float], None]
    ) -> Ended:
        first, count = int(turn.command[1]), int(turn.command[2])
        self.turns.append((first, count))
        told = Told(ran=count)
        why = self.results.get(chosen.name, lambda *_: "")(told, first)
        self.now += count
        heard(told, count)
        return Ended(told, count, 1 if told.broken else 0, why, "the last line")

    def run(self, *parts: Part, seconds: float = math.inf, skip: int = 0) -> Run:
        run = Run(parts, seconds, self.play, lambda *_: None, skip, lambda: self.now)
        assert list(run.run()) == run.outcomes
        return run


def test_without_a_budget_the_full_count_runs_in_rounds_that_follow_each_other() -> None:
    stage = Stage()
    (outcome,) = stage.run(part()).outcomes
    assert (outcome.ran, outcome.why, outcome.broken) == (100, "all", [])
    assert stage.turns == [(0, 10), (10, 20), (30, 40), (70, 30)]


def test_a_run_after_another_leaves_the_seeds_that_were_played() -> None:
    stage = Stage()
    seeded, sliced = stage.run(part(), part(wanted=0, slices=2), skip=500).outcomes
    assert (seeded.ran, sliced.steps) == (100, 2)
    assert stage.turns == [(500, 10), (510, 20), (530, 40), (570, 30), (0, 1), (1, 1)]


def test_a_budget_is_kept_and_the_count_that_ran_is_told() -> None:
    stage = Stage()
    run = stage.run(part(name="one", weight=3), part(name="two"), seconds=80)
    one, two = run.outcomes
    assert (one.ran, one.why) == (60, OUT_OF_TIME)
    assert (two.ran, two.why) == (20, OUT_OF_TIME)
    assert stage.now <= 80


def test_what_stopped_itself_when_its_time_was_over_is_not_called_all() -> None:
    once = part(wanted=0, slices=1, cost=500.0, in_one_go=True)

    def told_late(told: Told, _: int) -> str:
        stage.now = 40.0
        return ""

    stage = Stage(one=told_late)
    (outcome,) = stage.run(once, seconds=30).outcomes
    assert (outcome.ran, outcome.why) == (1, OUT_OF_TIME)
    (outcome,) = Stage().run(once, seconds=300).outcomes
    assert (outcome.ran, outcome.why) == (1, ALL)


def test_what_ends_early_by_itself_is_broken() -> None:
    def few(told: Told, _: int) -> str:
        told.ran = 40
        return ""

    (outcome,) = Stage(one=few).run(part(in_one_go=True)).outcomes
    assert (outcome.ran, outcome.why) == (40, "it ended early")
    assert [each.what for each in outcome.broken] == ["it told of 40 and ended"]


def test_what_an_interrupted_round_had_found_is_kept() -> None:
    def interrupted(told: Told, _: int) -> str:
        told.broken.append(Broken("an order was lost", ""))
        return ""

    class Stopped(Stage):
        def play(self, *arguments: Any) -> Ended:
            super().play(*arguments)
            raise KeyboardInterrupt

    stage = Stopped(one=interrupted)
    run = Run([part()], math.inf, stage.play, lambda *_: None, clock=lambda: stage.now)
    with pytest.raises(KeyboardInterrupt):
        list(run.run())
    (outcome,) = run.outcomes
    assert (outcome.ran, [each.what for each in outcome.broken]) == (10, ["an order was lost"])


def test_a_part_that_breaks_stops_no_other_and_says_how_to_see_it_again() -> None:
    def breaks(told: Told, first: int) -> str:
        told.ran = 3
        told.broken.append(Broken(f"seed {first + 3} lost an order", ""))
        return ""

    one, two = Stage(one=breaks).run(part(name="one"), part(name="two")).outcomes
    assert (one.ran, len(one.broken), one.why) == (3 * ENOUGH, ENOUGH, "3 rounds broke")
    assert one.broken[0] == Broken("seed 3 lost an order", "ALLUSE_COUNT=10 play 0 10")
    assert (two.ran, two.broken) == (100, [])


def test_a_round_that_dies_or_runs_nothing_is_broken() -> None:
    def runs_nothing(told: Told, _: int) -> str:
        told.ran = 0
        told.skipped.append("apsw is missing")
        return ""

    (outcome,) = Stage(one=runs_nothing).run(part(wanted=10)).outcomes
    assert [broken.what for broken in outcome.broken] == ["nothing was run: apsw is missing"]


def test_what_hangs_is_broken_and_what_is_merely_late_is_not() -> None:
    hung, late, after = (
        Stage(one=lambda *_: "it was silent for 5 s", two=lambda *_: OUT_OF_TIME)
        .run(part(name="one"), part(name="two"), part(name="three"))
        .outcomes
    )
    assert "silent" in hung.broken[0].what
    assert "the last line" in hung.broken[0].what
    assert (late.broken, late.why) == ([], OUT_OF_TIME)
    assert after.why == "all"


# --- processes ------------------------------------------------------------------------------------

_TELL = """
import json, os, sys, time, subprocess
def tell(**said):
    with open(os.environ["ALLUSE_RAN"], "a") as file: print(json.dumps(said), file=file)
"""


def script(text: str, **more: Any) -> Part:
    return part(turn=lambda *_: Turn([sys.executable, "-c", _TELL + text]), **more)


def play(chosen: Part, folder: Path, left: float = math.inf) -> Ended:
    return in_folder(folder)(chosen, chosen.turn(0, 1), left, lambda *_: None)


@pytest.fixture
def spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a script makes once it has told: only then does its time begin.

    How long an interpreter takes to start on a busy machine is nobody's patience.
    """
    file, began = tmp_path / "spoken", math.nan

    def monotonic() -> float:
        nonlocal began
        if math.isnan(began) and file.exists():
            began = time.monotonic()
        return 0.0 if math.isnan(began) else time.monotonic() - began

    clock = SimpleNamespace(monotonic=monotonic, sleep=time.sleep)
    monkeypatch.setattr("gates.process.time", clock)
    return file


def ends(number: int) -> bool:
    """Whether a process of this number is gone within a moment."""
    for _ in range(100):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_a_part_that_hangs_is_ended_with_all_that_it_started_and_nothing_else(
    tmp_path: Path, bystander: subprocess.Popen[bytes], spoken: Path
) -> None:
    hangs = script(
        "tell(ran=2); asleep = subprocess.Popen(['sleep', '60'])\n"
        f"with open({str(spoken)!r}, 'w') as file: file.write(str(asleep.pid))\n"
        "time.sleep(60)",
        patience=0.6,
    )
    ended = play(hangs, tmp_path)
    assert (ended.told.ran, ended.why) == (2, "it was silent for 0.6 s")
    assert ended.seconds < 30
    assert ends(int(spoken.read_text("utf-8")))
    assert bystander.poll() is None


def test_what_a_process_leaves_behind_when_it_ends_is_ended_too(tmp_path: Path) -> None:
    leaves = script("print(subprocess.Popen(['sleep', '60']).pid); tell(ran=1)")
    ended = play(leaves, tmp_path)
    assert (ended.told.ran, ended.status, ended.why) == (1, 0, "")
    assert ends(int(ended.last_lines))


def test_a_process_over_its_time_is_ended_and_what_it_told_counts(
    tmp_path: Path, spoken: Path
) -> None:
    slow = script(
        f"while True: tell(ran=1); open({str(spoken)!r}, 'w').close(); time.sleep(0.05)",
        patience=4.0,
    )
    ended = play(slow, tmp_path, 0.5)
    assert ended.why == OUT_OF_TIME
    assert 0 < ended.told.ran < 100


def test_a_process_tidies_up_when_it_is_ended(tmp_path: Path, spoken: Path) -> None:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        tidy = script(
            f"try: tell(ran=1); open({str(spoken)!r}, 'w').close(); time.sleep(60)\n"
            "finally: tell(ran=10)",
            patience=0.5,
        )
        assert play(tidy, tmp_path).told.ran == 11
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_round_sees_its_own_counts_and_none_of_the_shell_that_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLUSE_SEED", "7")
    given = environment_of(part(), turn_of(0, 5), 12.0, tmp_path / "told", tmp_path)
    assert "ALLUSE_SEED" not in given
    assert (given["ALLUSE_COUNT"], given["ALLUSE_SECONDS"]) == ("5", "12.0")
    unbounded = environment_of(part(), turn_of(0, 5), math.inf, tmp_path, tmp_path)
    assert "ALLUSE_SECONDS" not in unbounded


def test_what_is_counted_by_its_output_is_counted_by_nothing_else(tmp_path: Path) -> None:
    text = "print('killed: a\\nkilled: b\\nand more')\nif 'ALLUSE_RAN' in os.environ: tell(ran=9)"
    assert play(script(text, counts=("killed: ",)), tmp_path).told.ran == 2


def test_tests_tell_what_ran_what_broke_and_what_was_skipped(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_a(): pass\n"
        "def test_b(): assert 1 == 2, 'seed 9'\n"
        "def test_c(): pytest.skip('no disk')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "gates.listener"]
    turn = Turn(
        [*command, "-c", os.devnull, str(tmp_path)],
        {"ALLUSE_RAN_TESTS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    told = play(part(turn=lambda *_: turn), tmp_path).told
    assert told.ran == 1
    assert [("test_b" in each.what, "seed 9" in each.what) for each in told.broken] == [(True,) * 2]
    assert ["no disk" in each for each in told.skipped] == [True]


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def two_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = importlib.import_module("gates.__main__")
    good = script("tell(ran=50)", name="good", wanted=50, in_one_go=True)
    bad = script(
        "tell(ran=1, broken='lost')\nsys.exit(1)", name="bad", in_one_go=True, unit="orders"
    )
    monkeypatch.setattr(command, "PARTS", (bad, good))
    monkeypatch.setattr(command, "_LOGS", tmp_path / "logs")


@pytest.mark.usefixtures("two_parts")
def test_the_command_tells_all_of_it_as_a_table_and_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gates.json"
    assert main(["--minutes", "1", "--json", str(out)]) == 1
    printed = capsys.readouterr().out
    assert "BROKEN bad: lost\n  again: " in printed
    told = json.loads(out.read_text("utf-8"))
    rows = {row["gate"]: row for row in told["gates"]}
    assert (rows["good"]["run"], rows["good"]["broken"]) == (50, [])
    assert (rows["bad"]["wanted"], rows["bad"]["run"]) == (100, 1)
    assert main(["--parts", "good", "--json", str(out)]) == 0
    assert [row["gate"] for row in json.loads(out.read_text("utf-8"))["gates"]] == ["good"]


@pytest.mark.usefixtures("two_parts")
def test_an_interrupted_run_tells_what_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("gates.process"), "_take", stop)
    assert main(["--json", str(tmp_path / "gates.json")]) == 130
    assert "it was interrupted" in capsys.readouterr().out


def test_a_part_that_does_not_exist_is_named_with_its_neighbour(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--parts", "seam"])
    assert "did you mean seams?" in capsys.readouterr().err


def test_the_list_names_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{each.name} " in printed for each in PARTS)


@pytest.mark.parametrize("each", PARTS, ids=lambda each: each.name)
def test_what_a_part_runs_exists_and_reads_its_counts(each: Part) -> None:
    turn = each.turn(each.grain, each.grain)
    named = [word for word in turn.command[1:] if ".py" in word]
    assert named or "gates.sessions" in turn.command
    for name in named:
        path, _, test = name.partition("::")
        text = (ROOT / path).read_text("utf-8")
        assert f"def {test}" in text
        for variable in set(turn.environment) - {"ALLUSE_RAN_TESTS"}:
            assert f'"{variable}"' in text
        told_by_tests = "ALLUSE_RAN_TESTS" in turn.environment
        assert told_by_tests or each.counts or "ran(" in text or "ALLUSE_RAN" in text
