"""Requests of a person to a running process."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from alluse_core.errors import StateError
from alluse_core.spool import SPOOL, Spool


def test_a_request_is_answered_to_whoever_asked(tmp_path: Path) -> None:
    spool, answers = Spool(tmp_path), []
    asking = threading.Thread(target=lambda: answers.append(spool.ask("halt", {"reason": "x"}, 10)))
    asking.start()
    taken = []
    while not taken:
        taken = spool.take()
        time.sleep(0.01)
    assert [(each.verb, dict(each.fields)) for each in taken] == [("halt", {"reason": "x"})]
    spool.answer(taken[0], {"state": "HALTED"})
    asking.join(10)
    assert answers == [{"state": "HALTED"}]
    assert not list((tmp_path / SPOOL).iterdir()), "nothing is left behind"


def test_a_request_is_not_taken_before_all_of_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, replace, met = Spool(tmp_path), os.replace, []

    def slowly(partial: Path, path: Path) -> None:
        met.extend(spool.take())
        replace(partial, path)

    monkeypatch.setattr(os, "replace", slowly)
    with pytest.raises(StateError, match="did not take the request"):
        spool.ask("halt", {"reason": "x"}, 0.1)
    assert not met
    assert not list((tmp_path / SPOOL).iterdir())


def test_a_request_that_nobody_took_is_withdrawn(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(StateError, match="withdrawn"):
        spool.ask("flatten", {}, 0.1)
    assert spool.take() == []


def test_an_answer_that_came_while_whoever_asked_was_stopped_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, sleep = Spool(tmp_path), time.sleep

    def stopped(_: float) -> None:
        (request,) = spool.take()
        spool.answer(request, {"state": "HALTED"})
        sleep(0.2)

    monkeypatch.setattr("alluse_core.spool.time.sleep", stopped)
    assert spool.ask("halt", {"reason": "x"}, 0.1) == {"state": "HALTED"}


def test_what_cannot_be_read_is_thrown_away(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (tmp_path / SPOOL).mkdir()
    for number, text in enumerate(("", "[1]", "{}", '{"verb": "halt", "fields": 3}')):
        (tmp_path / SPOOL / f"{number}.request").write_text(text)
    assert spool.take() == []
    assert spool.take() == []
    assert not list((tmp_path / SPOOL).iterdir())
