"""Many sessions on all cores: what was run, what broke, and how to see it again."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import attrs

from alluse_sim import planted
from alluse_sim.plan import Plan
from alluse_sim.session import Result, simulate

SEEDS_FOR_A_BUG = 24
"""A planted bug must show within so many sessions."""

_AHEAD = 4
"""Sessions for each process that are handed out before they are waited for."""


@attrs.define
class Tally:
    """What some sessions came to. ``seconds`` are of this machine, ``virtual`` of the sessions."""

    sessions: int = 0
    orders: int = 0
    sent: int = 0
    fills: int = 0
    kills: int = 0
    undetermined: int = 0
    virtual: float = 0.0
    seconds: float = 0.0
    faults: Counter[str] = attrs.field(factory=Counter)
    broken: list[Result] = attrs.field(factory=list)

    def add(self, result: Result) -> None:
        """Count one session."""
        self.sessions += 1
        self.orders += result.orders
        self.sent += result.sent
        self.fills += result.fills
        self.kills += result.kills
        self.undetermined += result.states.get("UNKNOWN", 0)
        self.virtual += result.seconds
        self.faults.update(result.plan.faults)
        if result.problems:
            self.broken.append(result)

    def as_json(self) -> dict[str, Any]:
        """Return the tally as JSON-ready values."""
        told = attrs.asdict(self, filter=lambda field, _: field.name not in ("broken", "faults"))
        return {
            **told,
            "faults": dict(sorted(self.faults.items())),
            "broken": [
                {"seed": each.plan.seed, "plan": attrs.asdict(each.plan), "problems": each.problems}
                for each in self.broken
            ],
        }


def torture(seeds: Sequence[int], jobs: int = 0) -> Generator[Result, None, None]:
    """Play the sessions of ``seeds`` in ``jobs`` processes (0: one for each core), in order."""
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1 or len(seeds) == 1:
        yield from map(_one, seeds)
        return
    # Spawned, so that nothing of this process (a bug that is planted, a thread) goes along.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=quiet) as pool:
        ahead: deque[Future[Result]] = deque()
        try:
            for seed in seeds:
                ahead.append(pool.submit(_one, seed))
                if len(ahead) > _AHEAD * jobs:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            # Whoever stops early waits for the sessions that are being played, not for all.
            pool.shutdown(wait=True, cancel_futures=True)


def quiet() -> None:
    """Log nothing in this process, and leave Ctrl-C to the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Faults are logged by the thousand here; the results say what matters.
    logging.disable(logging.CRITICAL)


def _one(seed: int) -> Result:
    return simulate(Plan.draw(seed))


def tally(results: Iterable[Result]) -> Tally:
    """Add up results as they come."""
    total, began = Tally(), time.perf_counter()
    for result in results:
        total.add(result)
        total.seconds = time.perf_counter() - began
    return total


@attrs.frozen
class Hunt:
    """Whether a planted bug was found, in which session, and by what."""

    bug: str
    undoes: str
    seed: int = 0
    problems: Sequence[str] = ()

    @property
    def problem(self) -> str:
        """The first problem that showed it; empty where nothing did."""
        return self.problems[0] if self.problems else ""

    @property
    def caught(self) -> bool:
        """Whether it was found."""
        return bool(self.problem)


def hunt(name: str, seeds: Iterable[int] = range(1, SEEDS_FOR_A_BUG + 1)) -> Hunt:
    """Plant a bug in this process and play sessions until one shows it. Raises UsageError."""
    bug = planted.find(name)
    with bug.planted():
        for seed in seeds:
            result = simulate(bug.session(seed))
            if result.problems:
                return Hunt(bug.name, bug.undoes, seed, result.problems)
    return Hunt(bug.name, bug.undoes)
