"""Who held the event loop: sources, rules and notifiers run in it, beside the orders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any

from alluse_core.telemetry import Registry

_log = logging.getLogger(__name__)

LONGEST_STEP = 0.05
"""Seconds that one step in the event loop may take; while it lasts, no order leaves."""


class Blame:
    """Names what held the event loop for longer than :data:`LONGEST_STEP`.

    A process that the machine stops looks the same from inside: it is what ran then that is named.
    Counter ``monitor.loop_held{kind=,name=}`` says how often, and each name is logged once. What
    never returns cannot be named from inside the loop: ``alluse watchdog`` acts on that.
    """

    def __init__(self, telemetry: Registry) -> None:
        self._telemetry = telemetry
        self._logged: set[tuple[str, str]] = set()

    def took(self, kind: str, name: str, seconds: float) -> None:
        """Note how long one step lasted."""
        if seconds <= LONGEST_STEP:
            return
        self._telemetry.counter("monitor", "loop_held", kind=kind, name=name).value += 1
        if (kind, name) not in self._logged:
            self._logged.add((kind, name))
            _log.warning(
                "%s %r held the event loop for %.0f ms, and every order with it, or the process was"
                " stopped while it ran; more are only counted",
                kind,
                name,
                seconds * 1000.0,
            )


@coroutine
def stepwise(
    work: Coroutine[Any, Any, None], clock: Callable[[], float], took: Callable[[float], None]
) -> Generator[Any, Any, None]:
    """Await ``work``, and tell ``took`` the seconds of each step between two of its waits."""
    resume: Callable[[], Any] = partial(work.send, None)
    while True:
        began = clock()
        try:
            waits_for = resume()
        except StopIteration:
            return
        finally:
            took(clock() - began)
        try:
            answer = yield waits_for
        except BaseException as error:  # noqa: BLE001 - handed on to the work, whatever it is
            resume = partial(work.throw, error)
        else:
            resume = partial(work.send, answer)
