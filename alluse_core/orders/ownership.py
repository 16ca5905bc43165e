"""Whose order a broker's message is about, and the names that an order goes by there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from alluse_core.model import OrderIdentity, OrderReport, OrderState
from alluse_core.orders.applier import Applier
from alluse_core.orders.desk import Desk
from alluse_core.orders.live import ORPHAN, LiveOrder, rebuilt
from alluse_core.orders.records import Kind, digest_of, order_fields

_log = logging.getLogger(__name__)


class Ownership:
    """Finds orders by what a broker calls them, and learns what it calls them by.

    ``restore`` looks an orderRef up among orders that left memory.
    """

    def __init__(
        self, desk: Desk, applier: Applier, restore: Callable[[str], LiveOrder | None]
    ) -> None:
        self._desk = desk
        self._applier = applier
        self._restore = restore

    def find(self, broker: str, identity: OrderIdentity) -> LiveOrder | None:
        """Return the order of ours that a message speaks of, also one that left memory."""
        live, reference = self._desk.book.find(broker, identity), identity.order_ref
        references = self._desk.references
        if live is None and (references.claims(reference) or references.former(reference)):
            live = self._restore(reference)
        return live

    def adopt(self, report: OrderReport) -> LiveOrder | None:
        """Take in an order that bears our name and that the journal lost.

        One that bears a name which other agents may share is left alone: it may be theirs.
        """
        identity, desk = report.identity, self._desk
        if desk.references.former(identity.order_ref):
            self._leave(identity)
            return None
        if report.terms is None or not desk.references.claims(identity.order_ref):
            return None
        order = rebuilt(ORPHAN + identity.order_ref, report.terms, report.broker)
        if order is None:
            return None
        live = LiveOrder(order, digest_of(order), identity.order_ref, adopted=True, durable=True)
        live.order_id, live.client_id = identity.order_id, identity.client_id
        live.submitted_at = desk.clock.monotonic()
        live.state = OrderState.SUBMITTED
        desk.book.add(live)
        desk.meters.orphans.value += 1
        said = "order %s (client id %d) bears our name and is not in the journal"
        _log.error(said, identity.order_ref, identity.client_id)
        body = {
            **order_fields(order),
            "order_id": live.order_id,
            "client_id": live.client_id,
            "adopted": True,
            "digest": live.digest,
        }
        self._applier.write(live, Kind.ORDER, body)
        return live

    def _leave(self, identity: OrderIdentity) -> None:
        book, reference = self._desk.book, identity.order_ref
        if not book.bears(reference):
            # A key that it proves to be its own is refused: it may be ours for all that.
            book.bear(reference)
            said = (
                "order %s (client id %d) is not in the journal, and agents whose names begin alike"
                " bore this one: it counts as another's"
            )
            _log.warning(said, reference, identity.client_id)

    def name(self, live: LiveOrder, identity: OrderIdentity) -> dict[str, Any]:
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
            self._desk.book.touch(live)
        if "order_id" in new:
            self._desk.named(live.order.broker)
        return new
