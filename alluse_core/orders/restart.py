"""What a new process takes over from the journal before it asks any broker."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from alluse_core.model import OrderState
from alluse_core.orders.applier import Applier
from alluse_core.orders.breaker import left_open
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.reader import Entry
from alluse_core.orders.records import Kind
from alluse_core.orders.recovery import rebuild
from alluse_core.orders.states import Event
from alluse_core.orders.wiring import Parts

_log = logging.getLogger(__name__)


def take_over(parts: Parts) -> None:
    """Give every part what the journal's records of earlier processes say to it."""
    general, stories = parts.journal.recover()
    for entry in general:
        if entry.kind == Kind.IDS and entry.body["broker"] in parts.sequences:
            parts.sequences[entry.body["broker"]].above(entry.body["up_to"])
    _reopen(parts, general)
    parts.control.restore(general)
    parts.adjustments.restore(general)
    parts.approval.restore(general)
    parts.canary.restore(general)
    if parts.canary.since is not None and not parts.canary.lifted:
        parts.canary.took(parts.archive.reader().keys_sent_after(parts.canary.began_at))
    for story in stories:
        live = rebuild(story)
        if live is not None:
            parts.book.add(live)
            _withdraw_unreleased(live, parts.applier)


def _reopen(parts: Parts, general: Sequence[Entry]) -> None:
    now = parts.desk.clock.monotonic()
    for broker, (state, reason) in left_open(general).items():
        if broker in parts.desk.breakers:
            parts.desk.breakers[broker].reopen(state, now, reason)
            _log.warning("the breaker of %s was %s when the last process ended", broker, state)


def _withdraw_unreleased(live: LiveOrder, applier: Applier) -> None:
    # It was still waiting to be let go when the process before this one ended.
    if live.waits and live.state is OrderState.SUBMITTED:
        reason = "the process ended before it was sent"
        applier.happen(live, Event.WITHDRAW, "recovery", reason)
