"""Bugs of evidence: what the broker said is taken for more, for less, or not asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from alluse_core.model import BrokerNotice
from alluse_core.orders.applier import Applier
from alluse_core.orders.commands import Commands
from alluse_core.orders.fills import Fills
from alluse_core.orders.holdings import Holdings, Moment
from alluse_core.orders.intake import Intake
from alluse_core.orders.lanes import Outbox
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.notices import Notices
from alluse_core.orders.outcomes import ErrorClass
from alluse_core.orders.reconcile import Reconciler
from alluse_core.orders.states import Event
from alluse_sim.bug import Bug, Patch

_CUTS = {"faults": ("cut", "cut", "cut-inside-a-frame", "cut"), "kill_at_batch": 0, "cap": 0}


def _count_every_report_of_a_fill() -> Sequence[Patch]:
    take, serial = Fills._fill, iter(range(10**9))

    def fill(self: Fills, live: Any, execution: Any, base: str, *rest: Any) -> None:
        take(self, live, execution, f"{base}/{next(serial)}", *rest)

    return [(Fills, "_fill", fill)]


def _forget_fills_after_the_end() -> Sequence[Patch]:
    take = Fills.take

    def execution(self: Fills, fill: Any, source: str = "execution") -> Any:
        live = self._ownership.find(fill.broker, fill.identity)
        if live is not None and live.state.is_terminal:
            return live
        return take(self, fill, source)

    return [(Fills, "take", execution)]


def _take_an_absent_order_for_cancelled() -> Sequence[Patch]:
    happen = Applier.happen

    def lose(self: Applier, live: Any, event: Event, *rest: Any, **more: Any) -> None:
        happen(self, live, Event.CANCEL if event is Event.LOSE else event, *rest, **more)

    return [(Applier, "happen", lose)]


def _take_an_error_for_the_end() -> Sequence[Patch]:
    take = Intake._pass_on

    def end(self: Intake, item: Any) -> None:
        take(self, item)
        if isinstance(item, BrokerNotice) and item.identity is not None:
            live = self._desk.book.find(item.broker, item.identity)
            if live is not None and not live.state.is_terminal:
                self._notices._applier.happen(live, Event.CANCEL, "notice", item.text)

    return [(Intake, "_pass_on", end)]


def _take_a_refused_command_for_a_refused_order() -> Sequence[Patch]:
    obey = Notices._obey

    def harsh(self: Notices, verdict: Any, live: LiveOrder, command: Any, said: str) -> None:
        if verdict.error_class is ErrorClass.COMMAND_REJECT and not live.state.is_terminal:
            self._applier.happen(live, Event.REJECT, "notice", said)
        else:
            obey(self, verdict, live, command, said)

    return [(Notices, "_obey", harsh)]


def _ask_for_no_executions() -> Sequence[Patch]:
    apply = Reconciler._apply

    def without(self: Reconciler, answers: Any) -> Any:
        return apply(
            self, attrs.evolve(answers, executions=attrs.evolve(answers.executions, rows=()))
        )

    async def ask(self: Holdings) -> bool:
        asked_at = Moment.of(self._desk.clock)
        return self._take(await self._broker.positions(), asked_at)

    return [(Reconciler, "_apply", without), (Holdings, "ask", ask)]


def _never_ask_again() -> Sequence[Patch]:
    async def nothing(self: Any, *rest: Any) -> None:
        self._gate.reconciling.clear()

    return [
        (Reconciler, "round", nothing),
        (Reconciler, "want", lambda self: self._gate.reconciling.clear()),
    ]


def _call_a_cancel_done_when_it_is_sent() -> Sequence[Patch]:
    send = Outbox._send_command

    def sent(self: Outbox, item: Any) -> None:
        send(self, item)
        if item.command.verb.value == "cancel" and not item.live.state.is_terminal:
            self._applier.happen(item.live, Event.CANCEL, "agent", "asked for")

    return [(Outbox, "_send_command", sent)]


def _call_a_change_done_when_it_is_asked_for() -> Sequence[Patch]:
    modify = Commands.modify

    async def asked(self: Commands, live: LiveOrder, *terms: Any) -> Any:
        command = await modify(self, live, *terms)
        if command.order is not None:
            live.order = command.order
        return command

    return [(Commands, "modify", asked)]


BUGS = (
    Bug(
        "every-fill-counts",
        "a fill counts once",
        _count_every_report_of_a_fill,
        # Each round of questions makes the journal longer, which is read whole to judge it.
        {**_CUTS, "heal_within": 2.0},
    ),
    Bug(
        "no-late-fills",
        "a fill counts whatever state the order is in",
        _forget_fills_after_the_end,
        {"faults": ("partial", "mute-fills", "partial", "mute-fills", "partial"), "cap": 0},
    ),
    Bug(
        "absent-is-cancelled",
        "absence is not evidence",
        _take_an_absent_order_for_cancelled,
        {"faults": ("half-open", "half-open", "cut"), "cap": 0},
    ),
    Bug(
        "error-is-the-end",
        "an error with an order's id ends nothing",
        _take_an_error_for_the_end,
        {"faults": ("babble", "babble"), "cap": 0},
    ),
    Bug(
        "command-reject-is-order-reject",
        "an order keeps its state where a command is refused",
        _take_a_refused_command_for_a_refused_order,
        {"faults": ("babble", "babble", "slow"), "cap": 0},
    ),
    Bug(
        "no-executions",
        "executions are asked for after a lost link",
        _ask_for_no_executions,
        {"faults": ("mute-fills", "mute-fills"), "cap": 0},
    ),
    Bug(
        "never-ask-again",
        "evidence is asked for on start, link-up and doubt",
        _never_ask_again,
        {"faults": ("mute", "mute", "mute-fills", "kill"), "cap": 0},
    ),
    Bug(
        "cancel-at-once",
        "a cancel is done when the broker says so",
        _call_a_cancel_done_when_it_is_sent,
        {"faults": ("late-acks", "mute", "slow"), "cap": 0},
    ),
    Bug(
        "change-at-once",
        "a change is done when the broker echoes it",
        _call_a_change_done_when_it_is_asked_for,
        {"faults": ("slow", "late-acks", "cut", "half-open"), "cap": 0},
    ),
)
