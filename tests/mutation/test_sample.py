"""The sampler on a handful of mutants; the score is a matter of `make torture`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mutants import Mutant, difference, mutants
from reach import Reach
from sample import ROOT, equivalents, fast_tests, in_order, is_equivalent, modules

STATES = ROOT / "alluse_core/orders/states.py"


@pytest.mark.slow
def test_faults_are_killed_by_their_tests_and_survive_those_of_another_subject() -> None:
    exposure = ("--tests", "plugins/risk/tests/test_exposure.py", "exposure", "states")
    command = (sys.executable, "tests/mutation/sample.py", "--mutants", "4", *exposure)
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    words = [line for line in ran.stdout.splitlines() if line.startswith(("killed", "survived"))]
    assert sorted(word.partition(".py")[0] for word in words) == [
        *("killed: exposure", "killed: exposure"),
        *("survived: states", "survived: states"),
    ], ran.stdout + ran.stderr


def test_a_mutant_meets_the_tests_that_run_its_statement_the_soonest_done_first() -> None:
    inside = Mutant(STATES, 0, "return", 12, range(10, 13), at_import=False)
    at_import = Mutant(STATES, 1, "constant", 3, range(3, 4), at_import=True)
    soonest = {"c": 0.1, "b": 0.2, "a": 0.3, "d": 0.4}
    ran = {3: frozenset({""}), 10: frozenset({"a"}), 12: frozenset({"a", "b"})}
    reach = Reach(soonest, {STATES: ran})
    assert reach.judges(inside) == ["b", "a"]
    assert reach.judges(at_import) == ["b", "a", "c", "d"], "the others may see it too"
    ran[11] = frozenset({""})
    assert reach.judges(inside) == ["b", "a", "c", "d"], "it runs while it is imported"


def test_a_mutant_differs_from_its_module_in_one_place() -> None:
    for path in modules().values():
        for mutant in mutants(path)[:1]:
            lines = difference(mutant).splitlines()[2:]
            assert len([line for line in lines if line.startswith("@@")]) == 1, lines
            assert any(line.startswith("-") for line in lines), lines
            assert mutant.line in mutant.lines


def test_a_sample_takes_as_many_of_each_module_and_repeats_by_its_seed() -> None:
    paths = list(modules().values())[-4:]
    first = in_order(paths, seed=1)
    assert first == in_order(paths, seed=1) != in_order(paths, seed=2)
    assert {mutant.path for mutant in first[: len(paths)]} == set(paths)
    assert len(set(first)) == len(first) == sum(len(mutants(path)) for path in paths)


def test_each_equivalent_mutant_still_exists_and_says_why() -> None:
    assert len(equivalents()) <= 12, "a list this long is a list of gaps"
    for entry in equivalents():
        found = [
            mutant for mutant in mutants(ROOT / entry["module"]) if is_equivalent(mutant, [entry])
        ]
        assert len(found) == 1, f"{len(found)} mutants are {entry}"
        assert len(entry["why"]) > 20, entry


def test_what_is_mutated_and_what_judges_it_exist() -> None:
    assert len(modules()) >= 20
    assert len(fast_tests()) >= 20
    assert all((ROOT / name).is_file() for name in fast_tests())
    assert all(Path(path).is_file() for path in modules().values())
