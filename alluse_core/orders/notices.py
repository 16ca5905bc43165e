"""Takes the broker's coded messages: what one means is the table's to say, never evidence alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from alluse_core.model import BrokerNotice, LinkState, OrderState, Verb
from alluse_core.orders.applier import Applier
from alluse_core.orders.desk import Desk
from alluse_core.orders.live import Command, LiveOrder
from alluse_core.orders.outcomes import (
    TABLE,
    Action,
    ErrorClass,
    Explanation,
    Outcome,
    Phase,
    Rule,
    explain,
)
from alluse_core.orders.ownership import Ownership
from alluse_core.orders.records import Kind
from alluse_core.orders.reports import Reports
from alluse_core.orders.states import CommandEvent, CommandState, Event

# 202 confirms a cancel, the others refuse one (TWS API, system messages and error codes).
_OF_CANCELS = frozenset({202, 161, 10147, 10148})
_ABOUT_ORDERS = frozenset({ErrorClass.AMBIGUOUS, ErrorClass.NOT_FOUND, ErrorClass.UNCLASSIFIED})


class Notices:
    """Classifies a coded message by verb, state and link, and does what its class asks for."""

    def __init__(
        self,
        desk: Desk,
        applier: Applier,
        ownership: Ownership,
        reports: Reports,
        table: Sequence[Rule] = TABLE,
    ) -> None:
        self._desk = desk
        self._applier = applier
        self._ownership = ownership
        self._reports = reports
        self._table = table

    def take(self, notice: BrokerNotice, link: LinkState) -> None:
        """Take a coded message: what it means is the table's to say, by verb and state."""
        desk = self._desk
        live = self._ownership.find(notice.broker, notice.identity) if notice.identity else None
        command = live.in_flight() if live is not None else None
        verb = None if live is None else _verb_of(live, command, notice.code)
        state = None if live is None else live.state
        found = explain(notice.code, notice.text, verb, Phase.SENT, state, link, table=self._table)
        verdict = found.outcome
        refused = verdict.error_class is ErrorClass.DEFINITE_REJECT
        if refused and live is not None and _unanswered(live) and _was_changed(live):
            # It may be the change's, where the place's own answer was lost: the order that it
            # ended would go on to fill.
            verdict = attrs.evolve(verdict, evidence_needed=True)
        desk.meters.error(verdict.error_class)
        self._record(notice, live, found)
        if verdict.action is Action.GATE_AND_PAGE:
            desk.page(f"{notice.broker} says {notice.code}: {notice.text}")
        if verdict.action is Action.BACK_OFF and verdict.evidence_needed:
            # The message rate itself; what is limited by other rules has pacing of its own.
            desk.slower(notice.broker)
        if live is not None:
            said = f"{notice.code} {notice.text}"
            live.say(f"notice: {said}")
            self._obey(verdict, live, command, said)
        if verdict.evidence_needed and (live is not None or verdict.error_class in _ABOUT_ORDERS):
            desk.ask(notice.broker, f"{notice.code} {notice.text}")

    def _obey(self, verdict: Outcome, live: LiveOrder, command: Command | None, said: str) -> None:
        if verdict.error_class is ErrorClass.DEFINITE_REJECT and not verdict.evidence_needed:
            live.evidence_at = self._desk.clock.monotonic()
            self._applier.happen(live, Event.REJECT, "notice", said)
        elif verdict.action is Action.TERMINAL_ALARM:
            self._reports.count_unasked(live)
            live.reason = said
        elif verdict.error_class is ErrorClass.COMMAND_REJECT and command is not None:
            # Its number is the order's, which the message may name for another reason.
            doubted = command.verb is Verb.MODIFY
            self._applier.command(live, command, CommandEvent.REFUSE, said, doubted=doubted)
        elif verdict.action is Action.HOLD:
            self._applier.acknowledge(live, Event.HOLD, self._desk.clock.monotonic())
            live.held = True
            live.evidence_at = self._desk.clock.monotonic()
            self._applier.happen(live, Event.HOLD, "notice", said)
        live.notify()

    def _record(self, notice: BrokerNotice, live: LiveOrder | None, found: Explanation) -> None:
        verdict = found.outcome
        if live is None and not verdict.evidence_needed:
            return
        body = {
            "broker": notice.broker,
            "account": live.order.account if live else "",
            "code": notice.code,
            "text": notice.text,
            "class": verdict.error_class.value,
            "action": verdict.action.value,
        }
        if found.rule is not None and found.rule.added:
            body["rule"] = "; ".join(found.reasons)
        journal = self._desk.journal
        names = (live.key, live.ref, live.state.value) if live else ()
        journal.append(journal.scribe.row(Kind.NOTICE, body, *names))


def _verb_of(live: LiveOrder, command: Command | None, code: int) -> Verb:
    """Return what a message about an order answers: the command in flight, else the order.

    A broker answers one connection in order: until the place has its first answer, a message is
    that answer, whatever was sent behind it, unless its code speaks of cancels alone. The status
    that confirms a cancel comes before the message that does (202).
    """
    if command is not None:
        if _unanswered(live) and not (command.verb is Verb.CANCEL and code in _OF_CANCELS):
            return Verb.PLACE
        return command.verb
    return Verb.CANCEL if live.cancelled and live.state.is_terminal else Verb.PLACE


def _unanswered(live: LiveOrder) -> bool:
    return live.state is OrderState.SUBMITTED and math.isnan(live.evidence_at)


def _was_changed(live: LiveOrder) -> bool:
    sent = (each for each in live.commands if each.state is not CommandState.QUEUED)
    return any(each.verb is Verb.MODIFY for each in sent)
