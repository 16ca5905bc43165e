"""The sampler's two verdicts, on one mutant; the score is a matter of `make torture`."""

from __future__ import annotations

import pytest
from mutants import Mutant, difference, mutants
from sample import ROOT, fast_tests, judge, modules

STATES = ROOT / "alluse_core/orders/states.py"


def first(kind: str) -> Mutant:
    return next(each for each in mutants(STATES) if each.kind == kind)


@pytest.mark.slow
def test_a_fault_is_killed_by_its_tests_and_survives_those_of_another_subject() -> None:
    mutant = first("return")
    assert judge([mutant], ["tests/orders/test_states.py"], 1) == {mutant: "killed"}
    assert judge([mutant], ["plugins/risk/tests/test_exposure.py"], 1) == {mutant: "survived"}


def test_a_mutant_differs_from_its_module_in_one_place() -> None:
    for path in modules():
        for mutant in mutants(path)[:5]:
            lines = difference(mutant).splitlines()[2:]
            assert len([line for line in lines if line.startswith("@@")]) == 1, lines
            assert any(line.startswith("-") for line in lines), lines


def test_what_is_mutated_and_what_judges_it_exist() -> None:
    assert len(modules()) >= 20
    assert len(fast_tests()) >= 20
    assert all((ROOT / name).is_file() for name in fast_tests())
