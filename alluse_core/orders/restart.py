"""What a new process takes over from the journal before it asks any broker."""

from __future__ import annotations

from alluse_core.model import OrderState
from alluse_core.orders.evidence import Applier
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.records import Kind
from alluse_core.orders.recovery import rebuild
from alluse_core.orders.states import Event
from alluse_core.orders.wiring import Parts


def take_over(parts: Parts) -> None:
    """Give every part what the journal's records of earlier processes say to it."""
    general, stories = parts.journal.recover()
    for entry in general:
        if entry.kind == Kind.IDS and entry.body["broker"] in parts.sequences:
            parts.sequences[entry.body["broker"]].above(entry.body["up_to"])
    parts.control.restore(general)
    parts.applier.restore(general)
    parts.approval.restore(general)
    parts.canary.restore(general)
    if parts.canary.since is not None:
        parts.canary.took(parts.archive.reader().keys_sent_after(parts.canary.began_at))
    for story in stories:
        live = rebuild(story)
        if live is not None:
            parts.book.add(live)
            _withdraw_unreleased(live, parts.applier)


def _withdraw_unreleased(live: LiveOrder, applier: Applier) -> None:
    # It was still waiting to be let go when the process before this one ended.
    if live.waits and live.state is OrderState.SUBMITTED:
        reason = "the process ended before it was sent"
        applier.happen(live, Event.WITHDRAW, "recovery", reason)
