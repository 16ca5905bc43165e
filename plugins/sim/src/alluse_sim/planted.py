"""Bugs to plant in the order path, each of which a session must bring to light.

A checker that finds nothing proves nothing until it was seen to find what is there. Each bug
undoes one rule of the order path; the faults beside it are those under which the rule matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from types import ModuleType
from typing import Any
from unittest.mock import patch

import attrs

from alluse_core.errors import UsageError, did_you_mean
from alluse_core.model import BrokerNotice, LinkState, OrderState
from alluse_core.orders import protection
from alluse_core.orders.applier import Applier
from alluse_core.orders.archive import Archive
from alluse_core.orders.book import Book
from alluse_core.orders.commands import Commands
from alluse_core.orders.fills import Fills
from alluse_core.orders.holdings import Holdings, Moment
from alluse_core.orders.ids import IdSequence
from alluse_core.orders.intake import Intake
from alluse_core.orders.journal import Journal
from alluse_core.orders.lanes import Dispatch, Outbox
from alluse_core.orders.live import ZERO, LiveOrder
from alluse_core.orders.notices import Notices
from alluse_core.orders.outcomes import ErrorClass
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.orders.pipeline import Pipeline
from alluse_core.orders.reconcile import Reconciler
from alluse_core.orders.states import Event
from alluse_core.ports import Priority
from alluse_sim.plan import Plan

_PATIENCE = 6.0  # what a bug broke does not heal, however long one waits

Replacement = Callable[..., Any]
Patch = tuple[type | ModuleType, str, Replacement]


@attrs.frozen
class Bug:
    """One bug. ``plan`` fixes what of a drawn session must be there for it to matter."""

    name: str
    undoes: str
    patches: Callable[[], Sequence[Patch]]
    plan: Mapping[str, Any] = attrs.field(factory=dict)

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have the bug for a while."""
        with ExitStack() as stack:
            for owner, attribute, replacement in self.patches():
                stack.enter_context(patch.object(owner, attribute, replacement))
            yield

    def session(self, seed: int) -> Plan:
        """Return the session of a seed that can catch it."""
        return Plan.draw(seed, **{"heal_within": _PATIENCE, **self.plan})


def find(name: str) -> Bug:
    """Return the bug of a name. Raises UsageError."""
    if name not in BUGS:
        raise UsageError(
            f"no bug is called {name!r}{did_you_mean(name, BUGS)}",
            hint="alluse torture --list names them all",
        )
    return BUGS[name]


# --- identity and sending -----------------------------------------------------------------------


def _resend_on_reconnect() -> Sequence[Patch]:
    take = Intake._link

    def link(self: Intake, report: Any) -> None:
        take(self, report)
        if report.state is LinkState.UP and self.started:
            for live in self._desk.book.live(report.broker):
                live.unsent = True
                self._outboxes[report.broker].put(Priority.ORDER, Dispatch((live,)))

    return [(Intake, "_link", link)]


def _resend_what_is_not_acknowledged() -> Sequence[Patch]:
    watch = Reconciler._unproven

    def unproven(self: Reconciler, answers: Any, listed: Any) -> set[str]:
        found = watch(self, answers, listed)
        # Reached through the desk, as code that retries would reach it.
        outbox = self._desk.page.__self__.outboxes[self._broker.name]  # type: ignore[attr-defined]
        for key in sorted(found):
            live = self._desk.book.get(key)
            if live is not None:
                live.unsent = True
                outbox.put(Priority.ORDER, Dispatch((live,)))
        return found

    return [(Reconciler, "_unproven", unproven)]


def _send_before_it_is_durable() -> Sequence[Patch]:
    take = Pipeline._take

    def early(self: Pipeline, orders: Any, group: Any, forced: bool) -> Any:
        lives = take(self, orders, group, forced)
        if lives[0].denial is None:
            priority = Priority.EXIT if lives[0].reducing else Priority.ORDER
            self._outboxes[lives[0].order.broker].put(priority, Dispatch(lives))
        return lives

    return [(Pipeline, "_take", early)]


def _say_durable_before_the_disk_does() -> Sequence[Patch]:
    append = Journal.append

    def at_once(self: Journal, *rows: Any, then: Any = None, urgent: bool = False) -> None:
        append(self, *rows, urgent=urgent)
        if then is not None:
            then(None)

    return [(Journal, "append", at_once)]


def _let_go_before_it_is_written() -> Sequence[Patch]:
    def at_once(self: Outbox, lane: Any, item: Any) -> None:
        item.released = True
        lane.wake.set()

    return [(Outbox, "_ask_release", at_once)]


def _take_a_key_twice() -> Sequence[Patch]:
    return [(Pipeline, "_known", lambda self, orders: ())]


def _use_ids_again() -> Sequence[Patch]:
    def take(self: IdSequence, count: int) -> int:
        self._next = self._next % 12 + count
        return self._next

    return [(IdSequence, "take", take)]


def _follow_the_brokers_counter_down() -> Sequence[Patch]:
    def take(self: IdSequence, count: int) -> int:
        self._cover(count)
        first: int = self._broker._orders.session.client._reqIdSeq  # type: ignore[attr-defined]
        if not 0 < first < 1_000_000:
            first = self._next % 7 + 1
        self._next = first + count
        return first

    return [(IdSequence, "take", take), (IdSequence, "above", lambda self, order_id: None)]


def _ignore_the_journal_at_the_start() -> Sequence[Patch]:
    return [
        (Journal, "recover", lambda self: ([], [])),
        (Archive, "by_reference", lambda self, reference: None),
        (Archive, "by_key", lambda self, key: None),
    ]


def _withdraw_what_was_sent() -> Sequence[Patch]:
    send = Outbox._send_orders

    def sent(self: Outbox, lives: Any, waited: float) -> None:
        send(self, lives, waited)
        for live in lives:
            live.unsent = not live.state.is_terminal

    return [(Outbox, "_send_orders", sent)]


def _send_without_pacing() -> Sequence[Patch]:
    async def turn(self: Any, priority: Priority, messages: int = 1) -> float:
        return 0.0

    return [(SlidingWindowPacer, "turn", turn)]


# --- evidence -----------------------------------------------------------------------------------


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

    async def ask(self: Holdings) -> None:
        asked_at = Moment.of(self._desk.clock)
        self._take(await self._broker.positions(), asked_at)

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


# --- exposure -----------------------------------------------------------------------------------


def _count_orders_only_once_acknowledged() -> Sequence[Patch]:
    working = Book.working

    def acknowledged(self: Book, account: Any, instrument: Any) -> list[LiveOrder]:
        found = working(self, account, instrument)
        return [live for live in found if live.state is not OrderState.SUBMITTED]

    return [(Book, "working", acknowledged)]


def _leave_unknown_orders_out() -> Sequence[Patch]:
    working = Book.working

    def known(self: Book, account: Any, instrument: Any) -> list[LiveOrder]:
        found = working(self, account, instrument)
        return [live for live in found if live.state is not OrderState.UNKNOWN]

    return [(Book, "working", known)]


def _count_a_status_as_a_fill_in_hand() -> Sequence[Patch]:
    def exposed(self: LiveOrder) -> Decimal:
        return ZERO if self.state.is_terminal else self.remaining

    return [(LiveOrder, "exposed", property(exposed))]  # type: ignore[list-item]


# --- protection ---------------------------------------------------------------------------------


def _take_an_exit_for_working_whatever_became_of_it() -> Sequence[Patch]:
    return [(protection, "at_work", lambda live: max(live.order.quantity - live.filled, ZERO))]


def _take_an_exit_for_as_large_as_its_entry() -> Sequence[Patch]:
    covered = protection.Bracket.covered

    def whole(self: protection.Bracket) -> Decimal:
        return self.left if covered.fget(self) else ZERO  # type: ignore[attr-defined]

    return [(protection.Bracket, "covered", property(whole))]  # type: ignore[list-item]


_CUTS = {"faults": ("cut", "cut", "cut-inside-a-frame", "cut"), "kill_at_batch": 0, "cap": 0}
_CALM = {"faults": ("partial",), "kill_at_batch": 0, "restarts": 0, "cap": 0}
_CAP = {"cap": 150, "restarts": 0}
_BRACKETS = {"brackets": 0.5, "cap": 0, "kill_at_batch": 0}

BUGS: Mapping[str, Bug] = {
    bug.name: bug
    for bug in (
        Bug("resend-on-reconnect", "never resend by default", _resend_on_reconnect, _CUTS),
        Bug(
            "resend-unacknowledged",
            "absence never proves that nothing was sent",
            _resend_what_is_not_acknowledged,
            {"faults": ("mute", "mute", "half-open", "slow", "late-acks"), "cap": 0},
        ),
        Bug(
            "send-before-durable",
            "durable before the first byte leaves",
            _send_before_it_is_durable,
            {"disk_seconds": 0.02, "faults": ("kill", "kill"), "cap": 0},
        ),
        Bug(
            "durable-before-disk",
            "a submit resolves after its batch is on disk",
            _say_durable_before_the_disk_does,
            {"disk_seconds": 0.02, "faults": ("kill", "kill"), "cap": 0},
        ),
        Bug(
            "release-unwritten",
            "what is not released in the journal has not left",
            _let_go_before_it_is_written,
            {"disk_seconds": 0.02, "faults": ("kill",) * 4, "cap": 0},
        ),
        Bug("key-taken-twice", "one key, one order", _take_a_key_twice, _CALM),
        Bug("ids-again", "no order id is used twice", _use_ids_again, _CALM),
        Bug(
            "no-id-floor",
            "the floor outlasts a roll-back",
            _follow_the_brokers_counter_down,
            {"faults": ("roll-back", "roll-back"), "cap": 0},
        ),
        Bug(
            "no-recovery",
            "the journal is read at the start",
            _ignore_the_journal_at_the_start,
            {"faults": ("kill",), "restarts": 1, "cap": 0},
        ),
        Bug("withdraw-sent", "only what has not left is withdrawn", _withdraw_what_was_sent, _CALM),
        Bug(
            "no-pacing",
            "fifty messages in any second",
            _send_without_pacing,
            {"faults": ("cut",), "restarts": 0, "kill_at_batch": 0, "cap": 0},
        ),
        Bug("every-fill-counts", "a fill counts once", _count_every_report_of_a_fill, _CUTS),
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
        Bug(
            "count-when-acknowledged",
            "what may have been sent is reserved",
            _count_orders_only_once_acknowledged,
            {**_CAP, "faults": ("late-acks", "slow", "late-acks")},
        ),
        Bug(
            "unknown-is-nothing",
            "UNKNOWN counts in full",
            _leave_unknown_orders_out,
            {**_CAP, "faults": ("omit",) * 3},
        ),
        Bug(
            "status-is-a-fill",
            "a told fill counts until its execution is in hand",
            _count_a_status_as_a_fill_in_hand,
            {**_CAP, "faults": ("mute-fills", "mute-fills", "mute-fills")},
        ),
        Bug(
            "ended-exit-covers",
            "only an exit that works protects",
            _take_an_exit_for_working_whatever_became_of_it,
            {**_BRACKETS, "restarts": 0, "faults": ("reject", "partial", "reject")},
        ),
        Bug(
            "exit-covers-all",
            "an exit protects its own quantity, however much the entry filled",
            _take_an_exit_for_as_large_as_its_entry,
            {**_BRACKETS, "restarts": 0, "faults": ("partial", "slow", "late-acks")},
        ),
    )
}
"""Every bug that can be planted, by name."""

OF_PROTECTION = ("ended-exit-covers", "exit-covers-all")
"""Those that only the comparison of what is held with what covers it can show."""
