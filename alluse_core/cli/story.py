"""An order's story in words: who said or did what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from alluse_core.orders.reader import Entry
from alluse_core.orders.records import Kind
from alluse_core.orders.reductions import cause

Body = Mapping[str, Any]

# What every record of one order repeats: said once above the story.
_REPEATED = frozenset({"tenant", "node", "agent", "incarnation", "broker", "account", "digest"})
_EVENTS = {
    "SUBMIT": "allowed it and made it durable",
    "RELEASE": "let it go: from here on it may have left",
    "WITHDRAW": "withdrew it before it left",
    "NOT_SENT": "did not send it",
    "PENDING": "has it, and has not said that it works",
    "HOLD": "holds it: alive, not working",
    "WORK": "works it",
    "CANCEL": "cancelled it",
    "REJECT": "refused it",
    "EXPIRE": "its time in force ran out",
    "LOSE": "no evidence settles it: UNKNOWN",
    "REVIVE": "lists it as open, though it had ended",
    "RESOLVE": "settled it by their word",
    "FILL": "filled it",
    "PART_FILL": "filled a part of it",
}
_COMMANDS = {
    "QUEUE": "asked for it",
    "SEND": "sent it",
    "DEFER": "could not send it yet",
    "CONFIRM": "was carried out",
    "REFUSE": "was refused",
    "WITHDRAW": "was withdrawn",
    "ENDED": "came too late",
    "LOSE": "was not answered: it may have been carried out",
    "DENY": "was denied by a control",
}


def tell(entry: Entry) -> tuple[str, str]:
    """Return (who, what) of a record; a kind or event that is not known here is told by fields."""
    return _TOLD.get(entry.kind, _other)(entry.body)


def _order(body: Body) -> tuple[str, str]:
    if body.get("adopted"):
        return "broker", "has an order that bears our name and that the journal had lost"
    words = [f"{body['side']} {body['quantity']}", str(body["instrument"]), body["type"]]
    words += [f"{name} {body[name]}" for name in ("limit", "stop") if name in body]
    told = f"wants {' '.join(words)} {body['tif']}"
    if body.get("group"):
        told += f", in group {body['group']}"
    if body.get("reducing"):
        told += "; it is proven to reduce risk"
    if "event" in body:
        told += f"; all-use {_EVENTS.get(body['event'], body['event'])}"
    return "agent", told


def _event(body: Body) -> tuple[str, str]:
    event = body["event"]
    if event == "SEND":
        return "all-use", f"gave it number {body['order_id']} of client {body['client_id']}"
    if event == "DENY":
        figures = [f"{name} {body[name]}" for name in ("value", "limit", "source") if body[name]]
        more = f" ({', '.join(figures)})" if figures else ""
        return "all-use", f"denied by {body['stage']}: {body['reason']}{more}"
    told = str(_EVENTS.get(event, event))
    if body.get("perm_id"):
        told += f", as permId {body['perm_id']}"
    if body.get("ended_perm_id"):
        told += f", permId {body['ended_perm_id']} alone"
    if body.get("counted"):
        told += ", with all that it filled told"
    if body.get("reason"):
        told += f": {body['reason']}"
    if body.get("impossible"):
        told += f"; impossible after {body['before']}"
    return body.get("source", "all-use"), told


def _fill(body: Body) -> tuple[str, str]:
    counts = "" if body.get("counts", True) else ", a leg of it"
    told = f"{body['side']} {body['quantity']} at {body['price']}{counts}"
    if body.get("executed_at"):
        told += f", executed {body['executed_at']}"
    return body["source"], f"{told}, execution {body['execution_id']}"


def _commission(body: Body) -> tuple[str, str]:
    told = f"commission {body['amount']} {body['currency']} for execution {body['execution_id']}"
    return "broker", f"{told}, realized {body['realized']}" if body.get("realized") else told


def _command(body: Body) -> tuple[str, str]:
    event = body["event"]
    who = body.get("by", "all-use") if event == "QUEUE" else "all-use"
    told = f"{body['verb']} {body.get('command', '')}".strip()
    told = f"{told}: {_COMMANDS.get(event, event)}"
    if event == "QUEUE" and body.get("order"):
        terms = body["order"]
        words = [f"{name} {terms[name]}" for name in ("quantity", "limit", "stop") if name in terms]
        told += f", with {', '.join(words)}"
    why = body.get("reason") or body.get("stage")
    return who, f"{told}: {why}" if why else told


def _notice(body: Body) -> tuple[str, str]:
    told = f"{body['code']} {body['text']}: {body['class']}, {body['action']}"
    return (
        "broker",
        f"{told} by a rule of the settings ({body['rule']})" if "rule" in body else told,
    )


def _echo(body: Body) -> tuple[str, str]:
    if "order" in body:
        return "broker", f"has it for {body['terms']['quantity']}, as our last change asked for"
    if "reduced" in body:
        told = f"lists it for {body['terms']['quantity']}: {body['reduced']} are left out already"
        return "broker", told
    if not body["differences"]:
        return "broker", "has the quantity again that was asked for, or less"
    return "broker", f"has other terms: {'; '.join(body['differences'])}"


def _reduction(body: Body) -> tuple[str, str]:
    quantity = body["order"]["quantity"]
    why = cause(body["filled_beside"], body.get("entry_opens", ""))
    return "broker", f"reduced it to {quantity}: {why}"


def _bracket(body: Body) -> tuple[str, str]:
    elsewhere = body["closed_elsewhere"]
    told = "nothing of the bracket is open" if body["over"] else "the bracket is open"
    closed = f"; {elsewhere} closed without its exits" if elsewhere != "0" else ""
    return "all-use", told + closed


def _other(body: Body) -> tuple[str, str]:
    return "all-use", ", ".join(
        f"{name} {value}"
        for name, value in body.items()
        if name not in _REPEATED and value not in ("", None, [], {})
    )


_TOLD: Mapping[str, Callable[[Body], tuple[str, str]]] = {
    Kind.ORDER: _order,
    Kind.EVENT: _event,
    Kind.FILL: _fill,
    Kind.COMMISSION: _commission,
    Kind.COMMAND: _command,
    Kind.NOTICE: _notice,
    Kind.ECHO: _echo,
    Kind.BRACKET: _bracket,
    Kind.REDUCTION: _reduction,
}
