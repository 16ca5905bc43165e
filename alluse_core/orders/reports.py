"""The status that a broker reports of an order, as it comes and as its lists say it."""

from __future__ import annotations

from alluse_core.model import OrderReport, OrderState, TimeInForce, Verb
from alluse_core.orders.applier import Applier
from alluse_core.orders.desk import Desk
from alluse_core.orders.echoes import Echoes
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.ownership import Ownership
from alluse_core.orders.records import Kind
from alluse_core.orders.reductions import Reductions
from alluse_core.orders.states import Event, event_of

_ALIVE = frozenset({Event.WORK, Event.HOLD, Event.PENDING, Event.PART_FILL})
_ENDS = frozenset({Event.CANCEL, Event.REJECT, Event.EXPIRE})
_UNHEARD = frozenset({OrderState.SUBMITTED, OrderState.UNKNOWN})

OPEN_ORDERS = "open orders"
"""The source of a report from the broker's list of open orders."""


class Reports:
    """Reads a status for what it proves: events of the order, and echoes of its terms."""

    def __init__(
        self,
        desk: Desk,
        applier: Applier,
        ownership: Ownership,
        echoes: Echoes,
        reductions: Reductions,
    ) -> None:
        self._desk = desk
        self._applier = applier
        self._ownership = ownership
        self._echoes = echoes
        self._reductions = reductions

    def take(
        self, report: OrderReport, source: str = "report", asked_at: float | None = None
    ) -> LiveOrder | None:
        """Apply a status; return the order it is about, None where it is not ours.

        ``asked_at``: monotonic time at which the list it stands in was asked for.
        """
        desk = self._desk
        live = self._ownership.find(report.broker, report.identity) or self._ownership.adopt(report)
        if live is None:
            return None
        now = desk.clock.monotonic()
        event = event_of(report, live.quantity if report.remaining is None else live.order.quantity)
        if source == OPEN_ORDERS and live.state.is_terminal and event in _ALIVE:
            if asked_at is not None and live.ended_at >= asked_at:
                # It ended while the list was on its way: the list is the older word.
                return live
            event = Event.REVIVE
            live.ended_perm_ids -= {report.identity.perm_id}
            live.counted = live.count_written = False
        if source == OPEN_ORDERS and event is Event.PENDING and live.state in _UNHEARD:
            # The broker has it and does not work it: a bracket whose last order never arrived.
            event = Event.HOLD
        fields = self._ownership.name(live, report.identity)
        if event is Event.REVIVE:
            fields = {**fields, "revived_perm_id": report.identity.perm_id}
        self._notice_more(live, report)
        filled = max(live.reported, report.filled or live.reported)
        if filled != live.reported:
            live.reported = filled
            desk.book.touch(live)
        if report.terms is not None:
            live.hear(report.identity.perm_id, report.terms.quantity)
        self._reductions.hear(live, report)
        if report.remaining and report.identity.perm_id:
            live.told_rest = (report.identity.perm_id, report.remaining)
        self._reductions.look(live, ends=event in _ENDS)
        if report.terms is not None:
            self._echoes.compare(live, report.terms, listed=source == OPEN_ORDERS)
        self._applier.acknowledge(live, event, now)
        live.evidence_at = now
        if len(live.perm_ids) > 1 and report.identity.perm_id:
            alone = self._of_twins(live, event, report.identity.perm_id, source)
            if alone is None:
                return live
            event = alone
        if event is Event.CANCEL:
            self._note_unasked(live)
        told_last = event in _ENDS or event is Event.FILL
        counts = told_last and report.filled is not None and len(live.perm_ids) == 1
        live.counted = live.counted or counts
        if counts:
            fields = {**fields, **self._applier.count(live)}
        self._applier.happen(live, event, source, report.reason, fields)
        if event is Event.REVIVE and live.filled:
            self._applier.happen(live, Event.PART_FILL, source)
        self._reductions.look(live)
        if report.terms is not None and source == OPEN_ORDERS and asked_at is not None:
            self._reductions.listed(live, report.terms, asked_at)
        return live

    def _notice_more(self, live: LiveOrder, report: OrderReport) -> None:
        """Count what a status says is working beyond what the order is known to be for."""
        if report.filled is None or report.remaining is None or not report.remaining:
            return
        total = report.filled + report.remaining
        if total > live.quantity:
            live.hear(report.identity.perm_id, total)
            self._desk.ask(report.broker, f"order {live.key} works for {total} there")

    def count_unasked(self, live: LiveOrder) -> None:
        """Count a cancel that nobody asked for: once, though status and message both tell it."""
        if not live.unasked:
            live.unasked = True
            self._desk.meters.unasked_cancels.value += 1

    def _of_twins(self, live: LiveOrder, event: Event, perm_id: int, source: str) -> Event | None:
        """Return what an event of one permId is to an order that has more; None: nothing."""
        lives = live.twin_lives(perm_id)
        if event in _ENDS and lives:
            self._end_one(live, event, perm_id, source)
            return None
        if event in _ENDS and live.executed >= live.order.quantity:
            self._end_one(live, event, perm_id, source)
            return Event.FILL
        return Event.PART_FILL if event is Event.FILL and lives else event

    def _end_one(self, live: LiveOrder, event: Event, perm_id: int, source: str) -> None:
        if perm_id not in live.ended_perm_ids:
            live.ended_perm_ids |= {perm_id}
            self._desk.book.touch(live)
            live.say(f"{source}: {event.value} of permId {perm_id} alone")
            body = {
                "broker": live.order.broker,
                "account": live.order.account,
                "event": event.value,
                "source": source,
                "ended_perm_id": perm_id,
            }
            self._applier.write(live, Kind.EVENT, body)
        live.notify()

    def _note_unasked(self, live: LiveOrder) -> None:
        asked = any(command.verb is Verb.CANCEL for command in live.commands)
        # Day orders, immediate ones and those with siblings end without being asked.
        lasting = live.order.time_in_force is TimeInForce.GTC and not live.group
        if not asked and lasting and not live.state.is_terminal:
            self.count_unasked(live)
