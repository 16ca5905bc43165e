"""Applies the broker's words to orders: in order, once each, never dropped."""

from __future__ import annotations

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import attrs

from alluse_core.clock import Clock
from alluse_core.model import (
    Commission,
    Execution,
    Instrument,
    OrderIdentity,
    OrderReport,
    OrderState,
    OrderTerms,
    SecurityType,
    TimeInForce,
    Verb,
)
from alluse_core.orders.adjustments import Cause, Settlements
from alluse_core.orders.book import Book
from alluse_core.orders.breaker import Breaker
from alluse_core.orders.identity import References
from alluse_core.orders.journal import Journal
from alluse_core.orders.live import (
    Command,
    LiveOrder,
    differences,
    is_newer,
    named_by,
    rebuilt,
    split_execution_id,
)
from alluse_core.orders.meters import Meters
from alluse_core.orders.reader import Entry
from alluse_core.orders.records import (
    Kind,
    digest_of,
    execution_fields,
    order_fields,
    terms_fields,
    text,
)
from alluse_core.orders.retries import RetryBudget
from alluse_core.orders.states import (
    CommandEvent,
    CommandState,
    Event,
    command_step,
    event_of,
    step,
)

_log = logging.getLogger(__name__)
_ALIVE = frozenset({Event.WORK, Event.HOLD, Event.PENDING, Event.PART_FILL})
_ENDS = frozenset({Event.CANCEL, Event.REJECT, Event.EXPIRE})
_UNHEARD = frozenset({OrderState.SUBMITTED, OrderState.UNKNOWN})
_KNOWN_COSTS = 50_000

OPEN_ORDERS = "open orders"
"""The source of a report from the broker's list of open orders."""

Ask = Callable[[str, str], None]
"""(broker, why): ask that broker for all evidence soon."""


@attrs.frozen
class Desk:
    """What everything in the order path shares."""

    book: Book
    journal: Journal
    clock: Clock
    meters: Meters
    references: References
    ask: Ask
    page: Callable[[str], None]
    named: Callable[[str], None] = lambda _: None
    """Called with a broker's name when it told by which number an order can be cancelled."""
    breakers: Mapping[str, Breaker] = attrs.field(factory=dict)
    slower: Callable[[str], None] = lambda _: None
    """Called with a broker's name when it said that messages came too fast."""
    retries: Mapping[str, RetryBudget] = attrs.field(factory=lambda: defaultdict(RetryBudget))
    """Of each broker: what may repeat by itself."""


class Applier:
    """The only one that changes an order's state; everything it learns goes to the journal.

    ``ask`` requests evidence from a broker, ``page`` stops new risk and tells a person why.
    ``restore`` looks an orderRef up among orders that left memory.
    """

    def __init__(self, desk: Desk, restore: Callable[[str], LiveOrder | None]) -> None:
        self._desk = desk
        self._restore = restore
        self._owners: OrderedDict[str, LiveOrder | None] = OrderedDict()
        self._costs: OrderedDict[tuple[str, Decimal], None] = OrderedDict()
        self._settlements = Settlements()
        self._adjusted: set[str] = set()
        self.fill_serial = 0

    # --- states ---------------------------------------------------------------------------------

    def happen(
        self,
        live: LiveOrder,
        event: Event,
        source: str,
        reason: str = "",
        fields: Mapping[str, Any] | None = None,
        kind: Kind = Kind.EVENT,
    ) -> None:
        """Take one event of an order. ``fields`` are journaled even where nothing changes."""
        desk, before = self._desk, live.state
        result = step(before, event)
        live.say(f"{source}: {event.value}" + (f" ({reason})" if reason else ""))
        if result.state is before and result.possible and not fields:
            live.notify()
            return
        if not result.possible:
            desk.meters.impossible.value += 1
            _log.error("%s cannot follow %s for order %s", event.value, before.value, live.key)
            desk.ask(live.order.broker, f"{event.value} cannot follow {before.value}")
        if reason:
            live.reason = reason
        if result.state is not before:
            desk.book.move(live, result.state)
            if result.state.is_terminal:
                live.ended_at = desk.clock.monotonic()
            desk.meters.moved(result.state)
            breaker = desk.breakers.get(live.order.broker)
            if breaker is not None:
                breaker.heard(live.key, before, result.state, desk.clock.monotonic())
        body: dict[str, Any] = {
            "broker": live.order.broker,
            "account": live.order.account,
            "event": event.value,
            "source": source,
            "before": before.value,
        }
        if reason:
            body["reason"] = reason
        if not result.possible:
            body["impossible"] = True
        if fields:
            body.update(fields)
        self._write(live, kind, body)
        if result.state.is_terminal:
            self._end_commands(live, f"the order is {result.state.value}")
        live.notify()

    def resolve(self, live: LiveOrder, state: OrderState, by: str) -> None:
        """End an order, and its commands, by a person's word."""
        desk, before = self._desk, live.state
        live.reason = f"resolved by {by}"
        desk.book.move(live, state)
        live.ended_at = desk.clock.monotonic()
        desk.meters.moved(state)
        live.say(f"person: {live.reason}")
        body = {
            "broker": live.order.broker,
            "account": live.order.account,
            "event": "RESOLVE",
            "source": "person",
            "before": before.value,
            "reason": live.reason,
        }
        self._write(live, Kind.EVENT, body)
        self._end_commands(live, f"the order was resolved as {state.value} by {by}")
        live.notify()

    def command(
        self,
        live: LiveOrder,
        command: Command,
        event: CommandEvent,
        reason: str = "",
        *,
        doubted: bool = False,
    ) -> None:
        """Take one event of a command; ``doubted``: an echo may still show that it was made."""
        state = command_step(command.state, event)
        if state is None:
            self._desk.meters.impossible.value += 1
            live.say(f"{command.verb.value}: {event.value} after {command.state.value}")
            return
        command.state = state
        command.reason = reason or command.reason
        body: dict[str, Any] = {
            "broker": live.order.broker,
            "account": live.order.account,
            "command": command.number,
            "verb": command.verb.value,
            "event": event.value,
            "command_state": state.value,
        }
        if reason:
            body["reason"] = reason
        if doubted:
            body["doubted"] = True
            live.doubt(command)
        if state is CommandState.CONFIRMED and command.order is not None:
            live.order = command.order
            body["order"] = order_fields(command.order)
        self._desk.book.touch(live)
        live.say(f"{command.verb.value}: {event.value}")
        self._write(live, Kind.COMMAND, body)
        if not state.is_pending:
            if command in live.doubted and not doubted:
                live.doubted.remove(command)
            elif state is not CommandState.LOST:
                live.commands.remove(command)
            waiting, command.observers = command.observers, []
            for observer in waiting:
                if not observer.done():
                    observer.set_result(None)
        live.notify()

    def _end_commands(self, live: LiveOrder, reason: str) -> None:
        for command in list(live.commands):
            done = command.verb is Verb.CANCEL and live.state is OrderState.CANCELED
            if done and command.state is not CommandState.QUEUED:
                live.cancelled = True
                self.command(live, command, CommandEvent.CONFIRM)
            else:
                self.command(live, command, CommandEvent.ENDED, reason)

    def _write(self, live: LiveOrder, kind: Kind, body: Mapping[str, Any]) -> None:
        journal = self._desk.journal
        journal.append(journal.scribe.row(kind, body, live.key, live.ref, live.state.value))

    # --- reports --------------------------------------------------------------------------------

    def report(
        self, report: OrderReport, source: str = "report", asked_at: float | None = None
    ) -> LiveOrder | None:
        """Apply a status; return the order it is about, None where it is not ours.

        ``asked_at``: monotonic time at which the list it stands in was asked for.
        """
        desk = self._desk
        live = self.owner(report.broker, report.identity) or self._adopt(report)
        if live is None:
            return None
        now = desk.clock.monotonic()
        event = event_of(report, live.order.quantity)
        if source == OPEN_ORDERS and live.state.is_terminal and event in _ALIVE:
            if asked_at is not None and live.ended_at >= asked_at:
                # It ended while the list was on its way: the list is the older word.
                return live
            event = Event.REVIVE
        if source == OPEN_ORDERS and event is Event.PENDING and live.state in _UNHEARD:
            # The broker has it and does not work it: a bracket whose last order never arrived.
            event = Event.HOLD
        fields = self._name(live, report.identity)
        if report.filled is not None and report.filled > live.reported:
            live.reported = report.filled
            desk.book.touch(live)
        if report.terms is not None:
            self._compare(live, report.terms)
        self.acknowledge(live, event, now)
        live.evidence_at = now
        if event in _ENDS and self._twin_lives(live, report.identity.perm_id):
            live.say(f"{source}: {event.value} of permId {report.identity.perm_id} alone")
            live.notify()
            return live
        if event is Event.CANCEL:
            self._note_unasked(live)
        self.happen(live, event, source, report.reason, fields)
        return live

    def owner(self, broker: str, identity: OrderIdentity) -> LiveOrder | None:
        """Return the order of ours that a message speaks of, also one that left memory."""
        live = self._desk.book.find(broker, identity)
        if live is None and self._desk.references.claims(identity.order_ref):
            live = self._restore(identity.order_ref)
        return live

    def _adopt(self, report: OrderReport) -> LiveOrder | None:
        """Take in an order that bears our name and that the journal lost."""
        identity, desk = report.identity, self._desk
        if report.terms is None or not desk.references.claims(identity.order_ref):
            return None
        order = rebuilt(f"orphan/{identity.order_ref}", report.terms, report.broker)
        if order is None:
            return None
        live = LiveOrder(order, digest_of(order), identity.order_ref, adopted=True, durable=True)
        live.order_id, live.client_id = identity.order_id, identity.client_id
        live.submitted_at = desk.clock.monotonic()
        live.state = OrderState.SUBMITTED
        desk.book.add(live)
        desk.meters.orphans.value += 1
        _log.error("order %s bears our name and is not in the journal", identity.order_ref)
        body = {
            **order_fields(order),
            "order_id": live.order_id,
            "client_id": live.client_id,
            "adopted": True,
            "digest": live.digest,
        }
        self._write(live, Kind.ORDER, body)
        return live

    def _name(self, live: LiveOrder, identity: OrderIdentity) -> dict[str, Any]:
        """Learn the names an order goes by; return what is new, to be journaled."""
        new: dict[str, Any] = {}
        if identity.order_id and not live.order_id:
            # A crash lost the record of its number; without it nobody can cancel the order.
            live.order_id, live.client_id = identity.order_id, identity.client_id
            new = {
                "order_id": live.order_id,
                "client_id": live.client_id,
                "parent": live.parent_order_id,
            }
        if identity.perm_id and identity.perm_id not in live.perm_ids:
            if live.perm_ids:
                # A modify that a broken link doubled (nautilus #4564): both must be cancelled.
                self._desk.meters.second_perm_ids.value += 1
                self._desk.page(
                    f"order {live.key} lives twice, under permIds {live.perm_ids[0]} and "
                    f"{identity.perm_id}: cancel it, and in TWS what then works on"
                )
            live.perm_ids += (identity.perm_id,)
            new["perm_id"] = identity.perm_id
        if new:
            self._desk.book.index(live)
        if "order_id" in new:
            self._desk.named(live.order.broker)
        return new

    def _twin_lives(self, live: LiveOrder, ended: int) -> bool:
        """Note that one of an order's permIds ended; return whether another one may fill."""
        if len(live.perm_ids) < 2 or not ended:
            return False
        live.ended_perm_ids |= {ended}
        return not live.ended_perm_ids.issuperset(live.perm_ids)

    def acknowledge(self, live: LiveOrder, event: Event, now: float) -> None:
        """Time the broker's first word that it has the order."""
        if live.acked_at == live.acked_at or event in (Event.PENDING, Event.REJECT):
            return
        live.acked_at = now
        self._desk.meters.acknowledged(live, now, held=event is Event.HOLD)

    def _note_unasked(self, live: LiveOrder) -> None:
        asked = any(command.verb is Verb.CANCEL for command in live.commands)
        # Day orders, immediate ones and those with siblings end without being asked.
        lasting = live.order.time_in_force is TimeInForce.GTC and not live.group
        if not asked and lasting and not live.state.is_terminal:
            self.count_unasked(live)

    def count_unasked(self, live: LiveOrder) -> None:
        """Count a cancel that nobody asked for: once, though status and message both tell it."""
        if not live.unasked:
            live.unasked = True
            self._desk.meters.unasked_cancels.value += 1

    def _compare(self, live: LiveOrder, terms: OrderTerms) -> None:
        changes = _changes(live)
        for place, change in enumerate(changes):
            if change.order is not None and not differences(change.order, terms):
                self.command(live, change, CommandEvent.CONFIRM)
                for older in changes[place + 1 :]:
                    # Its own echo was lost; what it asked for does not hold any more.
                    self.command(live, older, CommandEvent.REFUSE, "a later change took its place")
                return
        if any(change.state is CommandState.SENT for change in changes):
            return
        found = differences(live.order, terms)
        late = next((each for each in live.doubted if _brings(each, terms)), None)
        if found and late is not None:
            self.command(live, late, CommandEvent.LATE_ECHO)
            return
        if not found and live.doubted:
            for each in live.doubted:
                each.disproved = True
            self._desk.book.touch(live)
        if found == live.differences:
            return
        live.differences = found
        if found:
            self._desk.meters.differences.value += 1
            body = {
                "broker": live.order.broker,
                "account": live.order.account,
                "differences": list(found),
                "terms": terms_fields(terms),
            }
            self._write(live, Kind.ECHO, body)
            live.say(f"echo: {'; '.join(found)}")

    # --- fills ----------------------------------------------------------------------------------

    def execution(self, fill: Execution, source: str = "execution") -> LiveOrder | None:
        """Apply a fill once; a later revision replaces an earlier one."""
        desk = self._desk
        live = self.owner(fill.broker, fill.identity)
        base, revision = split_execution_id(fill.execution_id)
        if live is not None:
            fill = named_by(live.order, fill)
        known = live.known_fill(base) if live is not None else desk.book.stray(fill, base)
        if known is not None:
            if not is_newer(revision, split_execution_id(known.execution_id)[1]):
                desk.meters.duplicate_fills.value += 1
                return live
            desk.meters.corrections.value += 1
        else:
            desk.meters.fills.value += 1
        self.fill_serial += 1
        self._carry(fill, known)
        self._remember(fill.execution_id, live)
        if live is None:
            body = {**execution_fields(fill), "base": base, "counts": False, "source": source}
            row = desk.journal.scribe.row(Kind.FILL, body, "", fill.identity.order_ref)
            desk.journal.append(row)
        else:
            self._fill(live, fill, base, source)
        cause = self._settlements.cause(fill) if live is None or fill.liquidation else None
        # The broker tells the day's executions again after each start; people are called once.
        if cause is not None and fill.execution_id not in self._adjusted:
            self._adjusted.add(fill.execution_id)
            self._adjust(fill, cause)
        return live

    def restore(self, entries: Iterable[Entry]) -> None:
        """Take in which executions were told as adjustments before."""
        for entry in entries:
            if entry.kind == Kind.ADJUSTMENT and "execution_id" in entry.body:
                self._adjusted.add(entry.body["execution_id"])

    def _adjust(self, fill: Execution, cause: Cause) -> None:
        """Write down that a position moved without an order, and call a person."""
        self.adjustment(
            fill.broker,
            fill.account,
            fill.instrument,
            fill.quantity * fill.side.sign,
            cause,
            {"execution_id": fill.execution_id, "price": str(fill.price)},
        )
        what = f"{fill.quantity} {fill.instrument}"
        if cause is Cause.LIQUIDATION:
            self._desk.page(f"{fill.broker} closed {what} by itself")
        elif cause is not Cause.EXPIRY:
            self._desk.page(f"{cause.value} at {fill.broker}: {fill.side.value} {what}")

    def adjustment(
        self,
        broker: str,
        account: str,
        instrument: Instrument,
        change: Decimal,
        cause: Cause,
        facts: Mapping[str, str],
    ) -> None:
        """Journal a change of a position that no order made."""
        self._desk.meters.count("position_adjustments", cause=cause.value).value += 1
        _log.warning("%s of %s by %s at %s", change, instrument, cause.value, broker)
        body = {
            "broker": broker,
            "account": account,
            "instrument": instrument.id,
            "change": str(change),
            "cause": cause.value,
            **facts,
        }
        self._desk.journal.append(self._desk.journal.scribe.row(Kind.ADJUSTMENT, body))

    def _fill(self, live: LiveOrder, fill: Execution, base: str, source: str) -> None:
        desk = self._desk
        now = desk.clock.monotonic()
        fields = self._name(live, fill.identity)
        # A combo's legs are executed too; only what the order itself names fills it.
        counts = fill.instrument is live.order.instrument
        self.acknowledge(live, Event.FILL, now)
        live.evidence_at = now
        body = {**fields, **execution_fields(fill), "base": base, "counts": counts}
        live.say(f"{source}: {fill.quantity} at {fill.price}")
        if not counts:
            live.legs[base] = fill
            self._write(live, Kind.FILL, {**body, "source": source})
            live.notify()
            return
        live.fills[base] = fill
        live.executed = sum((each.quantity for each in live.fills.values()), Decimal(0))
        desk.book.touch(live)
        if live.executed > live.quantity:
            desk.meters.overfills.value += 1
            _log.error("order %s is filled beyond its quantity: %s", live.key, live.executed)
        whole = live.executed >= live.order.quantity
        event = Event.FILL if whole else Event.PART_FILL
        self.happen(live, event, source, fields=body, kind=Kind.FILL)

    def _carry(self, fill: Execution, known: Execution | None) -> None:
        if fill.instrument.security_type is SecurityType.COMBO:
            return  # nobody holds a combo: the executions of its legs move positions
        place = (fill.broker, fill.account, fill.instrument)
        before = known.quantity * known.side.sign if known is not None else Decimal(0)
        change = fill.quantity * fill.side.sign - before
        positions = self._desk.book.positions
        positions[place] = positions.get(place, Decimal(0)) + change

    def _remember(self, execution_id: str, live: LiveOrder | None) -> None:
        self._owners[execution_id] = live
        if len(self._owners) > _KNOWN_COSTS:
            self._owners.popitem(last=False)

    def commission(self, cost: Commission) -> None:
        """Note what a fill cost; it may come before the fill, and more than once."""
        known = (cost.execution_id, cost.amount)
        if known in self._costs:
            return
        self._costs[known] = None
        if len(self._costs) > _KNOWN_COSTS:
            self._costs.popitem(last=False)
        live = self._owners.get(cost.execution_id)
        body = {
            "broker": cost.broker,
            "account": live.order.account if live else "",
            "execution_id": cost.execution_id,
            "amount": str(cost.amount),
            "currency": cost.currency,
            "realized": text(cost.realized),
        }
        journal = self._desk.journal
        names = (live.key, live.ref, live.state.value) if live else ()
        journal.append(journal.scribe.row(Kind.COMMISSION, body, *names))


def _brings(change: Command, terms: OrderTerms) -> bool:
    return change.order is not None and not differences(change.order, terms)


def _changes(live: LiveOrder) -> list[Command]:
    """Return the modifies whose answer an echo may be, newest first."""
    sent = (CommandState.SENT, CommandState.LOST)
    return [
        command
        for command in reversed(live.commands)
        if command.verb is Verb.MODIFY and command.state in sent
    ]
