"""How often a line usually ticks, and when its silence is suspect. Pure; looked at, not pushed.

Nothing is added to the path of a tick: a line counts its quotes anyway, and a look every heartbeat
sees how many came. From that follow the mean gap and the longest silence that was seen. A line is
suspect when it is silent for far longer than both, while most others tick: then it is not the
market that pauses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs

from alluse_ibkr.ticks import Line

FAR_BEYOND_MEAN = 20.0
"""Ticks that came evenly at random would leave a gap of 20 means once in 485 million."""

FAR_BEYOND_LONGEST = 3.0
"""Ticks do not come evenly: three times the longest silence seen."""

LEAST_SECONDS = 15.0
"""Silence below this is never suspect, however fast a line was."""

LEARNED_TICKS = 30
"""Quotes before which a line's rhythm is not known."""

OTHERS_SHARE = 0.5
"""The share of the other lines that must have ticked since the look before."""

_MEMORY = 0.05
"""Weight of the newest look in the mean; the longest silence fades by as much per look."""


@attrs.define
class Rhythm:
    """What looks have shown of one line, up to the last look at which it had ticked."""

    sequence: int
    looked_at: float
    rate: float = 0.0
    longest: float = 0.0
    learned: int = 0
    ticked: bool = False

    def look(self, now: float, sequence: int) -> None:
        """Take a look at monotonic ``now``: the line's number of quotes so far.

        A silence that goes on says nothing of the usual gap: only looks with ticks teach.
        """
        count, passed = sequence - self.sequence, now - self.looked_at
        was_silent, self.ticked = not self.ticked, count > 0
        if count <= 0 or passed <= 0:
            return
        rate = count / passed
        self.rate = self.rate + _MEMORY * (rate - self.rate) if self.learned else rate
        # Between two looks with ticks the gaps are unknown and short; over silent ones, as long.
        silence = passed if was_silent and self.learned else passed / count
        self.longest = max(silence, (1.0 - _MEMORY) * self.longest)
        self.learned += count
        self.sequence, self.looked_at = sequence, now

    @property
    def usual(self) -> float:
        """The longest silence that is still usual, in seconds; infinite while it is not known."""
        if self.learned < LEARNED_TICKS or self.rate <= 0:
            return math.inf
        return max(FAR_BEYOND_MEAN / self.rate, FAR_BEYOND_LONGEST * self.longest, LEAST_SECONDS)


class SilenceWatch:
    """Finds the lines that are silent while most others tick."""

    def __init__(self) -> None:
        self._rhythms: dict[Line, Rhythm] = {}
        self._suspects: dict[Line, int] = {}

    def suspect(self, line: Line) -> bool:
        """Return whether a line was found suspect and has not ticked since."""
        return bool(self._suspects) and self._suspects.get(line) == line.sequence

    def look(self, lines: Iterable[Line], now: float) -> list[Line]:
        """Look at all living lines; return those that are suspect from now on. A halt is none."""
        rhythms: dict[Line, Rhythm] = {}
        for line in lines:
            rhythm = self._rhythms.get(line)
            if rhythm is None:
                rhythm = Rhythm(line.sequence, now)
            else:
                rhythm.look(now, line.sequence)
            rhythms[line] = rhythm
        self._rhythms = rhythms
        self._suspects = {line: n for line, n in self._suspects.items() if line.sequence == n}
        ticking = sum(rhythm.ticked for rhythm in rhythms.values())
        found = []
        for line, rhythm in rhythms.items():
            quote = line.quote
            if quote is None or line.halted or rhythm.ticked or line in self._suspects:
                continue
            silent_for = now - quote.changed_at
            if self._market_is_on(ticking, len(rhythms) - 1) and silent_for > rhythm.usual:
                self._suspects[line] = line.sequence
                found.append(line)
        return found

    @staticmethod
    def _market_is_on(ticking: int, others: int) -> bool:
        return others > 0 and ticking >= OTHERS_SHARE * others
