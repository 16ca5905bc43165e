"""Every event of the ledger: what it says, and the facts that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

_ORDER: Final = ("client_id", "order_id", "perm_id", "order_ref")
_TERMS: Final = ("quantity", "limit_price", "aux_price")


@attrs.frozen
class Kind:
    """One kind of entry. ``facts`` go with it, beside ``seq``, ``at`` and ``event``.

    ``open``: the arguments of what was done are facts of it too.
    """

    meaning: str
    facts: tuple[str, ...] = ()
    open: bool = False


EVENTS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        # --- the gateway and its connections
        "listen": Kind("The gateway accepts connections.", ("port",)),
        "connect": Kind("A socket was accepted.", ("connection",)),
        "version": Kind("The server version is agreed on.", ("connection", "version")),
        "start": Kind(
            "A client said its id and was greeted.", ("connection", "client_id", "next_order_id")
        ),
        "refuse": Kind(
            "A client id was refused, in use or told to be.", ("connection", "client_id", "code")
        ),
        "disconnect": Kind(
            "A socket is gone; the most messages of any sliding second are told.",
            (
                "connection",
                "client_id",
                "reason",
                "messages",
                "max_messages_in_a_second",
                "rate_violations",
            ),
        ),
        "rate": Kind(
            "The message rate was exceeded; the message is carried out all the same.",
            ("connection", "client_id", "received", "count"),
        ),
        "unreadable": Kind(
            "A message could not be read; nothing was done.",
            ("connection", "client_id", "code", "text"),
        ),
        "deferred": Kind(
            "A request waits for the link to IBKR, which is lost.", ("client_id", "request")
        ),
        # --- what clients asked of orders
        "place": Kind(
            "placeOrder arrived, be it new, a change or a question.",
            (
                "client_id",
                "order_id",
                "order_ref",
                "symbol",
                "side",
                *_TERMS,
                "order_type",
                "time_in_force",
                "account",
                "transmit",
                "parent_id",
                "oca_group",
                "oca_group",
                "what_if",
            ),
        ),
        "placed": Kind("The order is new and on its way to the exchange.", _ORDER),
        "preset": Kind(
            "A preset changed the order's time in force.",
            ("order_id", "order_ref", "time_in_force"),
        ),
        "split": Kind(
            "A change made a second order beside the first, under one order id.",
            (*_ORDER, "old_perm_id"),
        ),
        "replace": Kind("The change is on its way to the exchange.", (*_ORDER, *_TERMS)),
        "cancel": Kind(
            "cancelOrder arrived; client_id is who asks. Without a permId no such order is known.",
            _ORDER,
        ),
        # --- what became of orders, when it did, whatever clients were told of it
        "ack": Kind("The order works at the exchange.", _ORDER),
        "held": Kind("The order lives and does not work yet.", (*_ORDER, "reason")),
        "fill": Kind(
            "An execution.",
            (
                *_ORDER,
                "execution_id",
                "account",
                "side",
                "symbol",
                "instrument",
                "quantity",
                "price",
                "commission",
                "cumulative",
                "cause",
            ),
        ),
        "leg_fill": Kind(
            "A combo's leg was executed; it comes before the combo's own execution.",
            (
                *_ORDER,
                "execution_id",
                "account",
                "side",
                "symbol",
                "instrument",
                "quantity",
                "price",
                "commission",
                "cumulative",
            ),
        ),
        "margin_call": Kind(
            "An account lacks margin, and this order closes a position of it.",
            ("account", "symbol", "side", "quantity", "perm_id"),
        ),
        "exercise": Kind(
            "exerciseOptions arrived; a reason says why nothing came of it.",
            ("client_id", "order_id", "symbol", "lapse", "quantity", "account", "reason"),
        ),
        "restored": Kind(
            "What an earlier gateway kept in the state folder was put back.",
            ("orders", "accounts"),
        ),
        "correction": Kind(
            "An execution stands for an earlier one; a quantity of 0 busts it.",
            (*_ORDER, "execution_id", "was", "quantity", "price"),
        ),
        "replaced": Kind("The exchange works to the new terms.", (*_ORDER, *_TERMS)),
        "canceled": Kind("The order is cancelled.", (*_ORDER, "reason")),
        "expired": Kind("The order's time in force has ended.", (*_ORDER, "reason")),
        "reject": Kind(
            "A place or a change was refused (permId 0), or the order was, at the exchange.",
            (*_ORDER, "code", "reason"),
        ),
        "command_refused": Kind(
            "A change or cancel came too late; the order keeps its state.",
            (*_ORDER, "verb", "reason"),
        ),
        # --- faults
        "inject": Kind("The control interface did something.", ("what",), open=True),
        "muted": Kind("A message was not sent, as its kind is muted.", ("client_id", "kind")),
        "tampered": Kind(
            "A message was lost, doubled, delayed, held or broken.", ("client_id", "act", "kind")
        ),
        "swallowed": Kind(
            "A black hole took in a message and did nothing.", ("client_id", "connection", "size")
        ),
        "scenario": Kind("A scenario begins.", ("name", "seed")),
        "scenario_failed": Kind("A step could not be carried out.", ("name", "step", "text")),
        "scenario_ended": Kind("The last step of a scenario was carried out.", ("name",)),
    }
)
