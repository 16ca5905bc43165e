"""Runs parts one after the other within a budget; what breaks in one does not stop the others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from gates.part import Part, Turn, next_round, share
from gates.process import OUT_OF_TIME, Ended
from gates.told import Broken, Told

ALL = "all"
EARLY = "it ended early"
ENOUGH = 3
"""Broken rounds after which a part has shown what it can."""

Play = Callable[[Part, Turn, float, Callable[[Told, float], None]], Ended]
"""Runs one round, of which so many seconds are left, and tells a listener what it heard."""


@attrs.define
class Outcome:
    """What came of a part. ``ran`` is what its processes told that they had done, and no more.

    ``why`` says why it ended: 'all' where everything that was wanted was run.
    """

    part: Part
    ran: int = 0
    steps: int = 0
    rounds: int = 0
    seconds: float = 0.0
    why: str = ""
    broken: list[Broken] = attrs.field(factory=list)

    def per_step(self) -> float:
        """Return what a step takes: as measured, else as estimated."""
        return self.seconds / self.steps if self.steps else self.part.cost


@attrs.define
class Run:
    """Parts, and the seconds for all of them (infinite: the full counts).

    Seeds begin after the first ``skip``, which an earlier run may have had.
    ``heard`` is called while a part runs, with its outcome so far and about how many seconds
    all that is left takes.
    """

    parts: Sequence[Part]
    seconds: float
    play: Play
    heard: Callable[[Outcome, float], None]
    skip: int = 0
    clock: Callable[[], float] = time.monotonic
    outcomes: list[Outcome] = attrs.field(factory=list)
    _until: float = math.inf

    def run(self) -> Iterator[Outcome]:
        """Yield what came of each part. An interruption ends the part and all after it."""
        self._until = self.clock() + self.seconds
        for place, part in enumerate(self.parts):
            weights = [each.weight for each in self.parts[place:]]
            bounded = math.isfinite(self.seconds)
            own = share(weights, self._until - self.clock()) if bounded else math.inf
            outcome = Outcome(part)
            self.outcomes.append(outcome)
            try:
                self._run(outcome, own, self.parts[place + 1 :])
            except KeyboardInterrupt:
                outcome.why = "it was interrupted"
                raise
            yield outcome

    def _run(self, outcome: Outcome, own: float, later: Sequence[Part]) -> None:
        """Run rounds until the part's count, its time, or its patience is over."""
        part, last, bad = outcome.part, 0, 0
        until = self.clock() + own
        while True:
            left = until - self.clock()
            last = next_round(part, outcome.steps, last, outcome.per_step(), left)
            if last == 0:
                outcome.why = _why(outcome, left)
                if outcome.why == EARLY and not outcome.broken:
                    again = str(part.turn(0, part.steps))
                    outcome.broken.append(Broken(f"it told of {outcome.ran} and ended", again))
                return
            ended = self._round(outcome, last, left, later)
            bad += len(ended.told.broken) > 0 or bool(ended.status and not ended.why)
            if ended.why:
                outcome.why = ended.why
                return
            if bad == ENOUGH:
                outcome.why = f"{ENOUGH} rounds broke"
                return

    def _round(self, outcome: Outcome, count: int, left: float, later: Sequence[Part]) -> Ended:
        part, before = outcome.part, attrs.evolve(outcome)
        turn = part.turn(outcome.steps + (0 if part.slices else self.skip), count)

        def heard(told: Told, seconds: float) -> None:
            outcome.ran, outcome.seconds = before.ran + told.ran, before.seconds + seconds
            again = [attrs.evolve(each, again=each.again or str(turn)) for each in told.broken]
            outcome.broken = [*before.broken, *again]
            done = told.ran if not part.slices else 0
            pace = outcome.seconds / (before.steps + done) if before.steps + done else part.cost
            here = min(max(left - seconds, 0.0), (part.steps - before.steps - done) * pace)
            rest = sum(each.cost * each.steps for each in later)
            self.heard(outcome, min(here + rest, self._until - self.clock()))

        outcome.rounds += 1
        ended = self.play(part, turn, left, heard)
        heard(ended.told, ended.seconds)
        outcome.broken += [Broken(what, str(turn)) for what in _wrong(part, ended)]
        # Steps count towards where the next round begins; what stopped itself is told by ``ran``.
        outcome.steps += ended.told.ran if part.in_one_go else count
        return ended


def _why(outcome: Outcome, left: float) -> str:
    """Return why a part is over after a round that ended by itself."""
    part = outcome.part
    # Of what there is, some may be left where a process stopped itself.
    if outcome.steps >= part.steps and (part.wanted > 0 or left > 0.0):
        return ALL
    return EARLY if part.in_one_go and left > 0.0 else OUT_OF_TIME


def _wrong(part: Part, ended: Ended) -> list[str]:
    """Return what is wrong with a round beyond what it told itself."""
    told = ended.told
    if ended.why and ended.why != OUT_OF_TIME:
        return [f"{ended.why}, and was ended: {ended.last_lines}"]
    if ended.why:
        return []
    if ended.status and not told.broken:
        return [f"it ended with status {ended.status}: {ended.last_lines}"]
    if not told.ran and not told.broken:
        return [f"nothing was run: {'; '.join(told.skipped) or ended.last_lines}"]
    return []


def in_folder(folder: Path) -> Play:
    """Return what plays rounds as processes that write below ``folder``."""
    import tempfile

    from gates.process import play

    def one(part: Part, turn: Turn, left: float, heard: Callable[[Told, float], None]) -> Ended:
        log = folder / f"{part.name}.log"
        with log.open("a", encoding="utf-8") as file:
            print(f"$ {turn}", file=file)
        with tempfile.TemporaryDirectory(
            prefix="alluse-gates-", ignore_cleanup_errors=True
        ) as place:
            return play(part, turn, left, Path(place), log, heard)

    return one
