"""The way to the exchange and back: two streams with delays, in which nothing overtakes."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from alluse_core.clock import Clock
from alluse_paper.agenda import Agenda
from alluse_paper.fill_model import FillModel

Action = Callable[[], None]


class Channels:
    """Carries actions, each as much later as the fill model draws from ``random``."""

    def __init__(self, clock: Clock, agenda: Agenda, model: FillModel, random: Random) -> None:
        self._clock = clock
        self._agenda = agenda
        self._model = model
        self._random = random
        self._inbound = self._outbound = -math.inf

    def send(self, action: Action) -> None:
        """Carry an action to the exchange."""
        self._inbound = max(self._inbound, self._due())
        self._agenda.enter(self._inbound, action)

    def answer(self, action: Action) -> None:
        """Carry an action back from the exchange."""
        self._outbound = max(self._outbound, self._due())
        self._agenda.enter(self._outbound, action)

    def _due(self) -> float:
        return self._clock.monotonic() + self._model.delay(self._random)
