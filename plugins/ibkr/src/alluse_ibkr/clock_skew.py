"""How far the broker's clock is from ours, as far as whole seconds can tell."""

from __future__ import annotations

from collections import deque

import attrs

ANSWERS = 64
"""How many of the latest answers are combined."""

_SECOND = 1.0


@attrs.frozen
class Bound:
    """The broker's clock minus ours lies between these, in seconds."""

    low: float
    high: float

    @property
    def proven(self) -> float | None:
        """Return the middle where the bound excludes zero; None where there may be no skew."""
        return (self.low + self.high) / 2 if self.low > 0 or self.high < 0 else None

    @property
    def resolution(self) -> float:
        """Half of the width: how far the skew may be from the middle."""
        return (self.high - self.low) / 2


def bound(answer: int, asked: float, heard: float) -> Bound:
    """Return what one answer tells.

    The broker cuts its time to ``answer``, a whole second, at some moment between ``asked`` and
    ``heard``, Unix seconds of our clock: half-width 0.5 s and half of the round trip.
    """
    return Bound(answer - heard, answer + _SECOND - asked)


class ClockSkew:
    """Combines answers that came at different parts of a second into a narrower bound.

    All answers hold at once while neither clock is set; where they contradict each other one was,
    and only the newest counts on.
    """

    def __init__(self) -> None:
        self._bounds: deque[Bound] = deque(maxlen=ANSWERS)

    def add(self, answer: int, asked: float, heard: float) -> None:
        """Take an answer. One during which our own clock was set back tells nothing."""
        if heard < asked:
            return
        newest = bound(answer, asked, heard)
        known = self.bound
        if known is not None and (newest.low > known.high or newest.high < known.low):
            self._bounds.clear()
        self._bounds.append(newest)

    @property
    def bound(self) -> Bound | None:
        """Return where the skew must lie; None before the first answer."""
        if not self._bounds:
            return None
        return Bound(max(b.low for b in self._bounds), min(b.high for b in self._bounds))

    def milliseconds(self) -> float | None:
        """Return the skew where it is proven to be one, in ms."""
        known = self.bound
        proven = known.proven if known is not None else None
        return None if proven is None else proven * 1000

    def resolution(self) -> float | None:
        """Return by how much the skew may differ from the middle of its bound, in ms."""
        known = self.bound
        return None if known is None else known.resolution * 1000
