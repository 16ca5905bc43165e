"""Executions: each counts once, a later revision takes the place of an earlier one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal

from alluse_core.model import Execution, SecurityType
from alluse_core.orders.adjustments import Adjustments
from alluse_core.orders.applier import Applier
from alluse_core.orders.commissions import Commissions
from alluse_core.orders.desk import Desk
from alluse_core.orders.live import LiveOrder, is_newer, named_by, split_execution_id
from alluse_core.orders.ownership import Ownership
from alluse_core.orders.records import Kind, execution_fields
from alluse_core.orders.reductions import Reductions
from alluse_core.orders.states import Event
from alluse_core.orders.unexplained import Late

_log = logging.getLogger(__name__)


class Fills:
    """Takes executions, of orders of ours and of others: both move positions.

    ``newest`` is the last one that told something new.
    """

    def __init__(
        self,
        desk: Desk,
        applier: Applier,
        ownership: Ownership,
        commissions: Commissions,
        adjustments: Adjustments,
        reductions: Reductions,
    ) -> None:
        self._desk = desk
        self._applier = applier
        self._ownership = ownership
        self._commissions = commissions
        self._adjustments = adjustments
        self._reductions = reductions
        self.newest: Execution | None = None

    def take(self, fill: Execution, source: str = "execution") -> LiveOrder | None:
        """Apply a fill once; a later revision replaces an earlier one.

        Return the order that it is of; None where that is not ours.
        """
        desk = self._desk
        live = self._ownership.find(fill.broker, fill.identity)
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
        self.newest = fill
        listed = self._carry(fill, known)
        self._commissions.expect(fill.execution_id, live)
        if live is None:
            body = {**execution_fields(fill), "base": base, "counts": False, "source": source}
            body.update(listed)
            row = desk.journal.scribe.row(Kind.FILL, body, "", fill.identity.order_ref)
            desk.journal.append(row)
        else:
            self._fill(live, fill, base, source, listed)
        if live is None or fill.liquidation:
            self._adjustments.moved_by(fill)
        return live

    def _fill(
        self, live: LiveOrder, fill: Execution, base: str, source: str, listed: Mapping[str, bool]
    ) -> None:
        desk = self._desk
        now = desk.clock.monotonic()
        fields = self._ownership.name(live, fill.identity)
        # A combo's legs are executed too; only what the order itself names fills it.
        counts = fill.instrument is live.order.instrument
        self._applier.acknowledge(live, Event.FILL, now)
        live.evidence_at = now
        body = {**fields, **execution_fields(fill), "base": base, "counts": counts, **listed}
        live.say(f"{source}: {fill.quantity} at {fill.price}")
        if not counts:
            live.legs[base] = fill
            self._applier.write(live, Kind.FILL, {**body, "source": source})
            live.notify()
            return
        live.count(base, fill)
        body |= self._applier.count(live)
        desk.book.touch(live)
        if live.executed > live.quantity:
            desk.meters.overfills.value += 1
            _log.error("order %s is filled beyond its quantity: %s", live.key, live.executed)
        # More may be working where a change that was not answered, or a person, enlarged it.
        whole = live.executed >= live.quantity
        event = Event.FILL if whole and not live.twin_lives() else Event.PART_FILL
        self._applier.happen(live, event, source, fields=body, kind=Kind.FILL)
        self._reductions.look(live)

    def _carry(self, fill: Execution, known: Execution | None) -> Mapping[str, bool]:
        """Move the position; return what to write down where the broker's list held it already."""
        if fill.instrument.security_type is SecurityType.COMBO:
            return {}  # nobody holds a combo: the executions of its legs move positions
        place = (fill.broker, fill.account, fill.instrument)
        before = known.change if known is not None else Decimal(0)
        change = fill.change - before
        positions = self._desk.book.positions
        if known is None:
            late = self._desk.book.unexplained.place(fill, change)
            if late is not Late.AFTER:
                # Judged by the broker's clock against ours: the next list has the last word.
                self._desk.unsure(
                    fill.broker, f"its positions may hold {fill.execution_id} already"
                )
            if late is Late.INSIDE:
                return {"listed": True}
        positions[place] = positions.get(place, Decimal(0)) + change
        return {}
