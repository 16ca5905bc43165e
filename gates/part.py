"""What a part of the long gates is, and how much of it fits into a time."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence

import attrs

LONGEST_ROUND = 600.0
"""Seconds: a round that breaks costs no more than these to play again."""


@attrs.frozen
class Turn:
    """One process: its command, and what its environment says beside the usual."""

    command: Sequence[str]
    environment: Mapping[str, str] = attrs.field(factory=dict)

    def __str__(self) -> str:
        said = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*said, shlex.join(self.command)])


@attrs.frozen(kw_only=True)
class Part:
    """One gate. ``turn(first, count)`` is the process that runs ``count`` steps from ``first`` on.

    ``wanted`` and ``short`` are the counts of ``unit`` of the long gate and of ``make test``. A
    step is one of them, or one of ``slices`` of what there is (``wanted`` 0: all of it), which are
    run one by one. ``cost``
    is what a step took in seconds on two cores: an estimate until some were run. Rounds are
    multiples of ``grain``. ``in_one_go``: its process stops itself after ``ALLUSE_SECONDS``.
    ``weight`` is its share of the time; after ``patience`` seconds without a word it is taken to
    hang. ``counts``: the beginnings of lines of its output that stand for one step each, where it
    does not tell by ``ALLUSE_RAN``.
    """

    name: str
    shows: str
    unit: str
    turn: Callable[[int, int], Turn]
    cost: float
    wanted: int = 0
    short: int = 0
    slices: int = 0
    grain: int = 1
    in_one_go: bool = False
    weight: float = 1.0
    patience: float = 300.0
    counts: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return self.slices or self.wanted


def share(weights: Sequence[float], left: float) -> float:
    """Return what the first of ``weights`` gets of the seconds that are left for all of them."""
    return max(left, 0.0) * weights[0] / sum(weights)


def next_round(part: Part, done: int, last: int, per_step: float, left: float) -> int:
    """Return how many steps the next round has; 0 where the part is over.

    The first is small enough to show what a step costs; each later one is at most twice as large
    as the ``last``, fits into the seconds ``left`` by what a step took until now, and is short
    enough to be played again. A part gets its first round even where there is hardly any time.
    """
    remaining = part.steps - done
    if part.slices:
        remaining = min(remaining, 1)
    if remaining <= 0 or (last and left <= 0.0):
        return 0
    if part.in_one_go:
        return 0 if last else remaining
    within = min(left, LONGEST_ROUND) / max(per_step, 1e-9)
    fits = part.grain * math.floor(min(within, part.steps) / part.grain)
    if not last:
        short = math.ceil(part.short / part.grain) * part.grain
        return min(max(min(short, fits), part.grain), remaining)
    least = min(part.grain, remaining)
    if fits == 0 and least * per_step <= left:
        fits = least
    return min(2 * last, fits, remaining)
