"""Timing two sides in turn, and what a benchmark reports."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import attrs


@attrs.frozen
class Result:
    """One figure beside its goal.

    ``value`` is compared with ``goal``: at most, or at least where ``at_least``. ``ours`` and
    ``peer`` say in words and figures what was measured on each side. ``rounds`` is how often
    both sides took their turn; the value is the median of the rounds' ratios.
    """

    id: str
    what: str
    value: float
    goal: float
    at_least: bool
    ours: str
    peer: str
    rounds: int
    spread: tuple[float, float]

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.value >= self.goal if self.at_least else self.value <= self.goal


@attrs.frozen
class Turns:
    """CPU seconds per operation of both sides, round by round."""

    ours: tuple[float, ...]
    peer: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours over the peer's, round by round."""
        return tuple(mine / other for mine, other in zip(self.ours, self.peer, strict=True))

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and highest ratio of a round."""
        return (min(self.ratios), max(self.ratios))


Side = Callable[[], object]


def in_turn(ours: Side, peer: Side, *, operations: int, rounds: int) -> Turns:
    """Time both sides ``rounds`` times, the one that starts changing with each round.

    Each side is run once before, untimed. A side does ``operations`` operations a call.
    """
    ours()
    peer()
    times: dict[int, list[float]] = {0: [], 1: []}
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            side = (ours, peer)[which]
            # CPU time of this thread: what others on the machine take is no one's ratio.
            started = time.thread_time()
            side()
            times[which].append((time.thread_time() - started) / operations)
    return Turns(tuple(times[0]), tuple(times[1]))


def per_operation(seconds: Sequence[float]) -> str:
    """Return the median as nanoseconds of CPU, and as a rate."""
    median = statistics.median(seconds)
    return f"{median * 1e9:,.0f} ns, {1 / median / 1e6:.2f} M/s"
