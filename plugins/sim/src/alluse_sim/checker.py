"""Compares what a runtime believes with what the gateway's ledger knows. Pure: no I/O, no clock.

The ledger is the truth. :func:`compare` returns sentences, one for each way in which an order was
lost, sent twice, or is told of wrongly; none means that the promise held.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import attrs

from alluse_core.model import OrderGroup
from alluse_sim.exits import taken_away, too_large
from alluse_sim.protection import protection
from alluse_sim.truth import ZERO, Brokered, Entry, Truth, decimal, truth_of

WORD_TRAVELS = 3.0
"""Seconds within which an error's message reaches the client, or is lost with what cut it off."""

UNDECIDED_CODES = (103, 135)
"""Refusals that alone end nothing: a duplicate id (a change of what never arrived), and "can't
find order" of an exit whose entry is not there."""

ENDED = frozenset({"DENIED", "FILLED", "CANCELED", "REJECTED", "EXPIRED"})
# A late fill completes an order that was cancelled or ran out.
_MAY_FOLLOW = {("CANCELED", "FILLED"), ("EXPIRED", "FILLED")}


@attrs.frozen
class Believed:
    """One order as the agent is told of it, and as its journal tells it.

    ``fills`` are (quantity, price) by execution id; ``story`` the states in the journal, in order.
    ``quantity`` is what the agent is told the order is for, ``differences`` what of its terms the
    broker is said to have otherwise; None: not compared.
    ``modifies`` is how many changes the agent asked for; ``sent``: the journal says that it left.
    """

    key: str
    ref: str
    state: str
    filled: Decimal
    settled: bool
    fills: Mapping[str, tuple[Decimal, Decimal]]
    story: Sequence[str]
    pending: bool = False
    modifies: int = 0
    sent: bool = False
    quantity: Decimal | None = None
    differences: Sequence[str] = ()


@attrs.frozen
class Belief:
    """All that a runtime says of itself. ``positions`` are by instrument, without the flat ones.

    ``unprotected`` is how much is open without its protection, by instrument; ``let_through`` says
    which new risk the journal let through while the link was lost.
    """

    orders: Sequence[Believed]
    positions: Mapping[str, Decimal]
    journal_problem: str = ""
    unprotected: Mapping[str, Decimal] = attrs.field(factory=dict)
    let_through: Sequence[str] = ()


@attrs.frozen
class Asked:
    """What the agent did. ``taken``: keys whose submit returned; ``denied``: those refused.

    ``tried``: keys whose submit gave no answer, since the process ended meanwhile. ``brackets``
    are those that it asked for, the oldest first. ``resized``: keys whose quantity it changed.
    """

    taken: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    tried: frozenset[str] = frozenset()
    brackets: Sequence[OrderGroup] = ()
    resized: frozenset[str] = frozenset()


# --- the comparison ------------------------------------------------------------------------------


def compare(
    entries: Sequence[Entry], belief: Belief, asked: Asked | None = None, excesses: int = 0
) -> list[str]:
    """Return what is wrong, as sentences; an empty list where belief and ledger agree.

    ``excesses`` over the message rate are allowed, where the broker lowered it without a word.
    """
    truth = truth_of(entries)
    found = _identity(truth, belief)
    for order in belief.orders:
        found += _order(truth, order, entries)
    found += _positions(truth, belief)
    if asked is not None:
        found += _answers(belief, asked)
        refs = {order.key: order.ref for order in belief.orders}
        found += protection(entries, asked.brackets, refs, belief.unprotected)
        found += taken_away(entries, asked.brackets, refs)
        settled = {order.key for order in belief.orders if order.state != "UNKNOWN"}
        found += too_large(truth, asked.brackets, refs, settled - asked.resized)
    if belief.journal_problem:
        found.append(f"the journal is not whole: {belief.journal_problem}")
    found += belief.let_through
    found += [f"the message rate was exceeded: {text}" for text in truth.rates[excesses:]]
    found += [f"the gateway could not read a message: {text}" for text in truth.unreadable]
    return found


def _identity(truth: Truth, belief: Belief) -> list[str]:
    found = []
    changes = {order.ref: order.modifies for order in belief.orders}
    known = set(changes)
    for ref, orders in truth.orders.items():
        if ref and sum(not order.twin for order in orders) > 1:
            perms = [order.perm_id for order in orders]
            found.append(f"{ref} was sent twice: the broker has orders {perms}")
        if ref and ref not in known:
            found.append(f"{ref} is at the broker and the runtime does not know it")
    for ref, count in truth.sends.items():
        if ref in known and count > 1 + changes[ref]:
            found.append(
                f"{ref} was sent twice: {count} messages for one order and {changes[ref]} changes"
            )
    for place, refs in truth.ids.items():
        if len(refs) > 1:
            found.append(f"order id {place[1]} of client {place[0]} was used for {sorted(refs)}")
    return found


def _order(truth: Truth, order: Believed, entries: Sequence[Entry]) -> list[str]:
    name = f"{order.key} ({order.ref})"
    found = [
        f"{name} was called {before} and then {after}"
        for before, after in zip(order.story, order.story[1:], strict=False)
        if before in ENDED and after != before and (before, after) not in _MAY_FOLLOW
    ]
    brokered = truth.orders.get(order.ref, [])
    if brokered:
        found += _state(name, order, brokered)
    elif order.ref in truth.refused:
        lost = _word_was_lost(truth.refused[order.ref], entries)
        if order.state != "REJECTED" and not (order.state == "UNKNOWN" and lost):
            found.append(f"{name} is called {order.state}, and the broker refused it")
    elif order.state not in ("DENIED", "CANCELED", "UNKNOWN"):
        found.append(f"{name} is called {order.state} and never reached the broker")
    elif order.sent and order.state == "CANCELED":
        found.append(f"{name} was sent and is called CANCELED without the broker's word")
    fills = {key: value for each in brokered for key, value in each.fills.items()}
    if dict(order.fills) != fills:
        found.append(f"{name} has the fills {dict(order.fills)}, the broker {fills}")
    if order.filled != sum((quantity for quantity, _ in fills.values()), ZERO):
        found.append(f"{name} says {order.filled} are filled, the broker's fills are {fills}")
    if order.story and order.story[-1] != order.state:
        found.append(f"{name} is called {order.state}, in the journal {order.story[-1]}")
    # What has no name at the broker yet cannot be cancelled: the cancel waits until it has one.
    if order.pending and not (order.state == "UNKNOWN" and not brokered):
        found.append(f"a command of {name} is still waiting for its answer")
    return found


def _state(name: str, order: Believed, orders: Sequence[Brokered]) -> list[str]:
    # Where a change made two of one order, what is said of it is said of the one that lives.
    alive = [each for each in orders if not each.allowed & ENDED]
    brokered = alive[-1] if alive else orders[-1]
    if order.state in brokered.allowed:
        if order.state in ENDED and not order.settled:
            return [f"{name} is {order.state} and not settled"]
        told = any(f"quantity is {brokered.quantity} " in each for each in order.differences)
        # What the broker took off for a sibling's fill is to be followed, not remarked upon.
        same = (told and not brokered.reduced) or order.quantity in (None, brokered.quantity)
        if not same and order.state not in ENDED:
            return [f"{name} is for {order.quantity}, at the broker for {brokered.quantity}"]
        return []
    wanted = " or ".join(sorted(brokered.allowed))
    return [f"{name} is called {order.state}, and at the broker it is {wanted}"]


def _word_was_lost(refusal: Entry, entries: Sequence[Entry]) -> bool:
    """Whether a refusal that leaves no order behind may not have reached the client.

    It is told by one error message only, so nothing that is asked later can prove it.
    """
    if refusal["code"] in UNDECIDED_CODES:
        return True
    client = refusal["client_id"]
    for entry in entries:
        if entry["seq"] <= refusal["seq"] or entry["at"] > refusal["at"] + WORD_TRAVELS:
            continue
        if entry["event"] in ("muted", "disconnect") and entry["client_id"] == client:
            return True
        if entry["event"] == "tampered" and entry["act"] == "lose":
            return True
        if entry["event"] == "inject" and entry["what"] in ("half_open", "drop"):
            return True
    return False


def _positions(truth: Truth, belief: Belief) -> list[str]:
    held = sorted(set(truth.positions) | set(belief.positions))
    return [
        f"the position of {name} is {truth.positions.get(name, ZERO)}, "
        f"believed {belief.positions.get(name, ZERO)}"
        for name in held
        if truth.positions.get(name, ZERO) != belief.positions.get(name, ZERO)
    ]


def _answers(belief: Belief, asked: Asked) -> list[str]:
    states = {order.key: order.state for order in belief.orders}
    found = [
        f"{key} was taken, and the runtime does not know it" for key in asked.taken - set(states)
    ]
    found += [
        f"{key} was denied to the agent, and is {states[key]}"
        for key in asked.denied & set(states)
        if states[key] != "DENIED"
    ]
    found += [
        f"{key} is in the journal, and nobody asked for it"
        for key in set(states) - asked.taken - asked.denied - asked.tried
    ]
    return found


# --- exposure ------------------------------------------------------------------------------------


def exposure(entries: Iterable[Entry], limit: Decimal) -> list[str]:
    """Return where a position could have gone beyond ``limit`` if all that was working filled.

    It is judged after each entry, by what the broker had: orders that the agent calls UNKNOWN
    and that reached the broker count, exits of a bracket do not (they close what it opens), and
    of orders that cancel each other the largest does. An order that a change made two of counts
    twice; that the broker made it so is nobody's fault, what is sent on top of it is.
    """
    reach = _Reach(limit)
    found = []
    for entry in entries:
        reach.take(entry)
        if entry["event"] in ("placed", "replaced", "fill", "split"):
            beyond = reach.beyond(entry)
            found += beyond if entry["event"] != "split" else []
    return found


class _Reach:
    def __init__(self, limit: Decimal) -> None:
        self._limit = limit
        self._places: dict[tuple[int, int], Entry] = {}
        self._working: dict[int, dict[str, Any]] = {}
        self._positions: dict[str, Decimal] = defaultdict(lambda: ZERO)
        self._changes: dict[int, list[Decimal]] = defaultdict(list)
        self._filled: dict[str, Decimal] = defaultdict(lambda: ZERO)
        self._allowed: dict[tuple[str, int], Decimal] = defaultdict(lambda: limit)

    def take(self, entry: Entry) -> None:
        event, perm = entry["event"], entry.get("perm_id", 0)
        if event == "place":
            self._places[entry["client_id"], entry["order_id"]] = entry
        elif event in ("placed", "split"):
            place = self._places[entry["client_id"], entry["order_id"]]
            # A twin is of no bracket, and of the group that its order is of.
            self._working[perm] = {
                "symbol": place["symbol"],
                "sign": 1 if place["side"] == "BUY" else -1,
                "quantity": decimal(place["quantity"]),
                "exit": bool(place["parent_id"]) and event == "placed",
                "one_of": place.get("oca_group") or f"{perm}",
            }
        elif event == "fill":
            sign = 1 if entry["side"] == "BUY" else -1
            self._positions[entry["symbol"]] += sign * decimal(entry["quantity"])
            if perm in self._working:
                self._filled[self._working[perm]["one_of"]] += decimal(entry["quantity"])
        elif event in ("canceled", "expired", "reject"):
            self._working.pop(perm, None)
        elif event == "replace":
            self._changes[perm].append(decimal(entry["quantity"]))
        elif event == "replaced" and perm in self._working and self._changes[perm]:
            self._working[perm]["quantity"] = self._changes[perm].pop(0)

    def beyond(self, entry: Entry) -> list[str]:
        found = []
        for symbol in sorted({order["symbol"] for order in self._working.values()}):
            for sign in (1, -1):
                reach, allowed = self._reach(symbol, sign), self._allowed[symbol, sign]
                if entry["event"] == "split":
                    self._allowed[symbol, sign] = max(allowed, reach * sign)
                    continue
                # What the broker doubled is allowed for as long as it lasts.
                self._allowed[symbol, sign] = max(self._limit, min(allowed, reach * sign))
                if reach * sign > allowed:
                    found.append(
                        f"at entry {entry['seq']} {symbol} could have reached {reach}, "
                        f"beyond {self._limit}"
                    )
        return found

    def _reach(self, symbol: str, sign: int) -> Decimal:
        left: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for order in self._working.values():
            if order["symbol"] == symbol and order["sign"] == sign and not order["exit"]:
                group = order["one_of"]
                left[group] = max(left[group], order["quantity"] - self._filled[group])
        return self._positions[symbol] + sign * sum(left.values(), ZERO)
