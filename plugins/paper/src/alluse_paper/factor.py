"""What moves all stocks together."""

from __future__ import annotations

import math
from random import Random


class CommonFactor:
    """A random walk that every stock's own walk has a share of: one unit of variance a minute.

    It is read at times that do not go back, by everyone who moves; within a session its variance
    follows the half hours, between sessions it stands still.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(f"{seed}/market")
        self._value = 0.0
        self._time = -math.inf

    def at(self, time: float, opening: float, shape: float) -> float:
        """Return the walk's value at ``time``, of the session that opened at ``opening``.

        ``shape`` is the half hour's volatility over the session's.
        """
        since = max(self._time, opening)
        if time > since:
            self._value += self._random.gauss(0.0, shape * math.sqrt((time - since) / 60.0))
        self._time = max(self._time, time)
        return self._value
