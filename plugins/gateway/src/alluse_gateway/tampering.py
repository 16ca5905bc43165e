"""What becomes of single messages on their way to a client: lost, doubled, late, out of turn."""

from __future__ import annotations

from enum import StrEnum

import attrs


class Act(StrEnum):
    """What is done to a message."""

    LOSE = "lose"
    DOUBLE = "double"
    DELAY = "delay"
    HOLD = "hold"


@attrs.define(eq=False)
class Rule:
    """Of the next messages of ``kinds``, ``count`` suffer ``act``: one in ``one_in`` of them.

    DELAY: they leave ``seconds`` later than what follows them. HOLD: they leave right after the
    next message of one of the kinds ``until``.
    """

    act: Act
    kinds: frozenset[int]
    count: int
    seconds: float = 0.0
    until: frozenset[int] = frozenset()
    one_in: int = 1
    seen: int = 0

    def strikes(self) -> bool:
        """Count a message of these kinds; return whether it is one that suffers."""
        self.seen += 1
        return self.seen % self.one_in == 0


@attrs.define
class Tampering:
    """The rules in force, oldest first; a rule that is used up goes."""

    rules: list[Rule] = attrs.field(factory=list)

    def take(self, kind: int) -> Rule | None:
        """Use up one message of the first rule that is about ``kind``."""
        for rule in self.rules:
            if kind in rule.kinds and rule.strikes():
                rule.count -= 1
                if rule.count <= 0:
                    self.rules.remove(rule)
                return rule
        return None
