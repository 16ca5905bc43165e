"""The control interface's faults of single messages."""

from __future__ import annotations

from collections.abc import Sequence

from alluse_core.errors import UsageError
from alluse_gateway.control_link import LinkControl, seconds_of
from alluse_gateway.message_kinds import kinds_of
from alluse_gateway.tampering import Act, Rule

Kinds = Sequence[int | str]
"""Messages by id or by name, such as 3 or "orderStatus"."""


class NewsControl(LinkControl):
    """Faults of messages. Each is for the next ``count`` messages of these kinds to anybody."""

    def lose(self, kinds: Kinds, count: int = 1, one_in: int = 1) -> None:
        """Do not send them: a lost ack, a commission that never comes.

        With ``one_in`` 10 each tenth is lost, until ``count`` were.
        """
        self._rule("lose", Rule(Act.LOSE, kinds_of(kinds), count, one_in=one_in))

    def duplicate(self, kinds: Kinds, count: int = 1) -> None:
        """Send them twice."""
        self._rule("duplicate", Rule(Act.DOUBLE, kinds_of(kinds), count))

    def delay(self, kinds: Kinds, seconds: float, count: int = 1) -> None:
        """Send them ``seconds`` late, while what follows them is in time: a late commission."""
        self._rule("delay", Rule(Act.DELAY, kinds_of(kinds), count, seconds_of(seconds)))

    def hold(self, kinds: Kinds, until: Kinds, count: int = 1) -> None:
        """Send them after the next message of the kinds ``until``."""
        rule = Rule(Act.HOLD, kinds_of(kinds), count, until=kinds_of(until))
        self._rule("hold", rule)

    def reorder(self, kinds: Kinds, count: int = 1) -> None:
        """Send them after the next of their own kinds: old news after new."""
        chosen = kinds_of(kinds)
        self._rule("reorder", Rule(Act.HOLD, chosen, count, until=chosen))

    def executions_first(self, count: int = 1) -> None:
        """Hold what is said of ``count`` orders when they are taken until an execution is told."""
        rule = Rule(Act.HOLD, kinds_of(["openOrder", "orderStatus"]), 2 * count)
        rule.until = kinds_of(["execDetails"])
        self._rule("executions_first", rule)

    def tamper_no_more(self) -> None:
        """Drop the rules that are not used up; what is held stays held."""
        self._gateway.faults.tampering.rules.clear()
        self._note("tamper_no_more")

    def _rule(self, what: str, rule: Rule) -> None:
        if rule.count < 1 or rule.one_in < 1 or not rule.kinds:
            raise UsageError("give at least one kind of message, and numbers of at least 1")
        self._gateway.faults.tampering.rules.append(rule)
        self._note(what, kinds=sorted(rule.kinds), count=rule.count, one_in=rule.one_in)
