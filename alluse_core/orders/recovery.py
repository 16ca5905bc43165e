"""Rebuilds orders from their stories in the journal. The same story gives the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import attrs

from alluse_core.model import GroupKind, OrderState, Verb
from alluse_core.orders.live import Command, Enlarged, LiveOrder
from alluse_core.orders.reader import Entry
from alluse_core.orders.records import Kind, execution_from, order_from
from alluse_core.orders.states import CommandState
from alluse_core.ports import Decision


def rebuild(story: Sequence[Entry]) -> LiveOrder | None:
    """Return the order that a story is about; None where it holds no intent."""
    live: LiveOrder | None = None
    for entry in story:
        if entry.kind == Kind.ORDER and live is None:
            live = _intent(entry)
        elif live is not None:
            _apply(live, entry)
    if live is not None and live.state is OrderState.INTENT:
        # Intent and decision are one batch; without the second nothing was sent.
        live.state = OrderState.DENIED
    return live


def _intent(entry: Entry) -> LiveOrder:
    body = entry.body
    live = LiveOrder(order_from(entry.key, body), body["digest"], entry.ref)
    live.durable = True
    live.state = OrderState(entry.state)
    live.reducing = body.get("reducing", False)
    live.adopted = body.get("adopted", False)
    live.group = body.get("group", "")
    live.group_kind = GroupKind(body["group_kind"]) if live.group else None
    live.entry = body.get("entry", "")
    live.oca_group = body.get("oca_group", "")
    live.oca_reduces = body.get("oca_reduces", False)
    live.order_id = body.get("order_id", 0)
    live.client_id = body.get("client_id", 0)
    live.waits = body.get("waits", False)
    if "event" in body:
        live.say(f"agent: {body['event']}")
    return live


def _apply(live: LiveOrder, entry: Entry) -> None:
    body = entry.body
    before = live.state
    if entry.state:
        live.state = OrderState(entry.state)
    if body.get("reason"):
        live.reason = body["reason"]
    perm_id = body.get("perm_id", 0)
    if perm_id and perm_id not in live.perm_ids:
        live.perm_ids += (perm_id,)
    if live.state is not before and live.state.is_terminal and live.state is not OrderState.FILLED:
        live.ended_perm_ids = frozenset(live.perm_ids)
    # Whatever is told of it but its intent shows that it was let go.
    ours = entry.kind in (Kind.COMMAND, Kind.BRACKET)
    live.waits = body.get("waits", False) or (live.waits and ours)
    if entry.kind == Kind.EVENT:
        _event(live, entry)
    elif entry.kind == Kind.FILL:
        live.say(f"{body['source']}: {body['quantity']} at {body['price']}")
        fill = execution_from(entry.ref, body)
        if body["counts"]:
            live.count(body["base"], fill)
        else:
            live.legs[body["base"]] = fill
    elif entry.kind == Kind.COMMAND and "command" in body:  # a change that was denied is none
        _command(live, entry)
    elif entry.kind == Kind.REDUCTION:
        live.order = order_from(entry.key, body["order"])
        _reduced(live, body)
        live.say(f"the broker reduced it to {live.order.quantity}")
    elif entry.kind == Kind.ECHO:
        if "order" in body:
            live.order = order_from(entry.key, body["order"])
        if "reduced" in body:
            _reduced(live, body)
        if "enlarged" in body:
            beside = Decimal(body.get("beside", 0))
            live.enlarged = Enlarged(beside) if body["enlarged"] else None
    elif entry.kind == Kind.BRACKET:
        live.closed_elsewhere = Decimal(body["closed_elsewhere"])
        live.bracket_over = body["over"]
    if body.get("counted"):
        live.counted = live.count_written = True


def _reduced(of: LiveOrder | Command, body: Mapping[str, Any]) -> None:
    of.reduced, of.asked = Decimal(body.get("reduced", 0)), Decimal(body.get("asked", 0))


def _event(live: LiveOrder, entry: Entry) -> None:
    body = entry.body
    live.say(f"{body.get('source', 'agent')}: {body['event']}")
    if "ended_perm_id" in body:
        live.ended_perm_ids |= {body["ended_perm_id"]}
    if "revived_perm_id" in body:
        live.ended_perm_ids -= {body["revived_perm_id"]}
        live.counted = live.count_written = False
    live.shadow = live.shadow or body["event"] == "SHADOW"
    if "order_id" in body:
        live.order_id, live.client_id = body["order_id"], body["client_id"]
        live.parent_order_id = body["parent"]
    if "stage" in body:
        names = [field.name for field in attrs.fields(Decision)]
        live.denial = (body["stage"], Decision(**{name: body[name] for name in names}))


def _command(live: LiveOrder, entry: Entry) -> None:
    body = entry.body
    known = (*live.commands, *live.doubted)
    found = next((each for each in known if each.number == body["command"]), None)
    if body["event"] == "QUEUE":
        # Whether its bytes left before the end is not recorded: it may have been sent.
        order = order_from(entry.key, body["order"]) if "order" in body else None
        command = Command(body["command"], Verb(body["verb"]), body["by"], order)
        command.state = CommandState.SENT
        _reduced(command, body)
        live.add(command)
    elif found is not None:
        found.state = CommandState(body["command_state"])
        if "order" in body:
            found.order = order_from(entry.key, body["order"])
            _reduced(found, body)
        if found.state is CommandState.QUEUED:
            found.state = CommandState.SENT
        if found.state is CommandState.CONFIRMED and found.order is not None:
            live.take(found.order, found)
        if found in live.doubted:
            live.trust(found)
        elif not found.state.is_pending and found.state is not CommandState.LOST:
            live.drop(found)
        if body.get("doubted"):
            live.doubt(found)
