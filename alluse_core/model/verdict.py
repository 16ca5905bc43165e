"""What a broker's coded message means, in words that a broker and the order path share."""

from __future__ import annotations

from enum import StrEnum

import attrs


class ErrorClass(StrEnum):
    """What kind of statement an error is."""

    INFO = "info"
    """A statement: nothing is refused."""
    DEFINITE_REJECT = "definite_reject"
    """The order did not enter, or was thrown out."""
    COMMAND_REJECT = "command_reject"
    """A command or request was refused; an order that was live stays."""
    HELD = "held"
    """Alive at the broker and waiting; it counts as exposure."""
    NOT_FOUND = "not_found"
    """Whoever answered does not know the order: no proof of anything."""
    AMBIGUOUS = "ambiguous"
    """The order may be live or not."""
    PACING = "pacing"
    """Too many messages."""
    LINK = "link"
    """The broker lost, or has again, the link to its servers."""
    SOCKET = "socket"
    """The socket to the broker."""
    STREAM = "stream"
    """A stream of market data."""
    SESSION = "session"
    """The client id or the login is used elsewhere."""
    LOCAL_DENY = "local_deny"
    """Nothing was sent."""
    UNCLASSIFIED = "unclassified"
    """No rule knows it: evidence first, and a person is to classify it."""


class Action(StrEnum):
    """What to do. None of these resends an order."""

    LOG = "log"
    """Write it down; compare the broker's echo with the intent."""
    TERMINAL = "terminal"
    """The order ended, with the text as its reason."""
    TERMINAL_ALARM = "terminal_alarm"
    """The order ended although nobody asked for it: tell a person."""
    KEEP_STATE = "keep_state"
    """The command failed; the order is what it was before it."""
    HOLD = "hold"
    """The order is alive at the broker and waits; it counts as exposure."""
    PROVE = "prove"
    """Ask for evidence; this word alone ends nothing."""
    UNKNOWN = "unknown"
    """The order is UNKNOWN unless evidence settles it."""
    BACK_OFF = "back_off"
    """Send less; the same message again only where it provably did not leave."""
    GATE = "gate"
    """Stop new risk; keep the socket."""
    RECONCILE = "reconcile"
    """The link is back with its data: ask for all evidence."""
    RECONCILE_RESUBSCRIBE = "reconcile_resubscribe"
    """The link is back without its data: ask for all evidence, make all subscriptions again."""
    RECONNECT = "reconnect"
    """Make the socket again, then ask for all evidence."""
    RESUBSCRIBE = "resubscribe"
    """Make this one stream again."""
    MARK_DATA = "mark_data"
    """Quotes may be old until the broker says otherwise; orders go on."""
    STREAM_REFUSED = "stream_refused"
    """This stream will not come; asking again unchanged will not help."""
    GATE_AND_PAGE = "gate_and_page"
    """Stop new risk and tell a person."""
    DENY = "deny"
    """Nothing was sent."""


class Phase(StrEnum):
    """How far the message that the error is about had got."""

    UNSENT = "unsent"
    SENT = "sent"
    ANSWERED = "answered"


@attrs.frozen
class Outcome:
    """The verdict. ``evidence_needed``: ask the broker before anything is believed."""

    error_class: ErrorClass
    action: Action
    evidence_needed: bool = False
