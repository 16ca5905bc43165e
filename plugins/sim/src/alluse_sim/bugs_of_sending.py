"""Bugs of identity, durability and sending: an order leaves twice, too soon, or unremembered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from alluse_ibkr.broker import IbkrBroker

from alluse_core.model import LinkState, Verb
from alluse_core.orders.archive import Archive
from alluse_core.orders.commands import Commands
from alluse_core.orders.ids import IdSequence
from alluse_core.orders.intake import Intake
from alluse_core.orders.journal import Journal
from alluse_core.orders.lanes import CommandDispatch, Dispatch, Outbox
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.orders.pipeline import Pipeline
from alluse_core.orders.reconcile import Reconciler
from alluse_core.ports import Priority
from alluse_sim.bug import Bug, Patch

_CUTS = {"faults": ("cut", "cut", "cut-inside-a-frame", "cut"), "kill_at_batch": 0, "cap": 0}
_CALM = {"faults": ("partial",), "kill_at_batch": 0, "restarts": 0, "cap": 0}


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

    def at_once(self: Journal, *rows: Any, then: Any = None, **how: Any) -> None:
        append(self, *rows, **how)
        if then is not None:
            then(None)

    return [(Journal, "append", at_once)]


def _let_go_before_it_is_written() -> Sequence[Patch]:
    def at_once(self: Outbox, lane: Any, item: Any) -> None:
        item.released = True
        lane.wake.set()

    return [(Outbox, "_ask_release", at_once)]


def _take_a_key_twice() -> Sequence[Patch]:
    return [(Pipeline, "_known", lambda *_: ())]


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


def _keep_the_gate_open_at_1100() -> Sequence[Patch]:
    told = cast(property, IbkrBroker.link).fget
    assert told is not None

    def link(self: IbkrBroker) -> LinkState:
        state: LinkState = told(self)
        return LinkState.UP if state is LinkState.DEGRADED else state

    take = Intake._link

    def thawed(self: Intake, report: Any) -> None:
        take(self, report)
        if report.state is LinkState.DEGRADED:
            self._gate.reconciling.discard(report.broker)

    return [
        (IbkrBroker, "link", property(link)),  # type: ignore[list-item]
        (Intake, "_link", thawed),
    ]


def _let_a_cancel_overtake_its_place() -> Sequence[Patch]:
    def send(self: Commands, live: LiveOrder) -> None:
        outbox = self._outboxes[live.order.broker]
        for command in live.commands:
            if command.verb is Verb.CANCEL:
                outbox.put(Priority.CANCEL, CommandDispatch(live, command))

    return [(Commands, "_withdraw", send)]


def _forget_a_command_whose_caller_gave_up() -> Sequence[Patch]:
    written = Commands._written

    async def only_for_who_waits(
        self: Commands, live: Any, command: Any, durable: Any, *, urgent: bool
    ) -> None:
        await written(self, live, command, lambda _: None, urgent=urgent)
        durable(None)

    return [(Commands, "_written", only_for_who_waits)]


BUGS = (
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
        {
            **{"disk_seconds": 0.02, "faults": ("kill",) * 4, "cap": 0},
            **{"kill_at_batch": 40, "kill_after": False},
        },
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
    Bug(
        "no-freeze",
        "1100 stops new risk until the broker has told everything",
        _keep_the_gate_open_at_1100,
        {"faults": ("outage",) * 4, "restarts": 0, "kill_at_batch": 0, "cap": 0},
    ),
    Bug(
        "cancel-overtakes",
        "a cancel never overtakes its own place",
        _let_a_cancel_overtake_its_place,
        {**_CALM, "disk_seconds": 0.02},
    ),
    Bug(
        "given-up-is-forgotten",
        "a command that is durable is sent, whatever became of who asked",
        _forget_a_command_whose_caller_gave_up,
        {**_CALM, "disk_seconds": 0.02, "stops": True},
    ),
    Bug("withdraw-sent", "only what has not left is withdrawn", _withdraw_what_was_sent, _CALM),
    Bug(
        "no-pacing",
        "fifty messages in any second",
        _send_without_pacing,
        {"faults": ("cut",), "restarts": 0, "kill_at_batch": 0, "cap": 0},
    ),
)
