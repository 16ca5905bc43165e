"""A person's decision where no process runs: into its journal, so that the next one starts so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alluse_core.clock import SystemClock
from alluse_core.errors import OrderError, StateError, did_you_mean
from alluse_core.model import NodeIdentity
from alluse_core.orders.breaker import BreakerState, left_open
from alluse_core.orders.control import accept, control_fields
from alluse_core.orders.journal import Journal
from alluse_core.orders.records import Kind
from alluse_core.ports import TradingState
from alluse_core.state import JOURNAL, where_the_journal_is


async def decide(folder: Path, verb: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """Write a decision into the journal of a process that does not run now; return how it stands.

    The caller holds the state folder. Raises StateError for what needs the running process,
    OrderError for a breaker that was not open when the last one ended.
    """
    if not (folder / JOURNAL).exists():
        hint = where_the_journal_is(folder, "--state") or "was it ever traded with?"
        raise StateError(f"{str(folder)!r} has no journal", hint=hint)
    node = NodeIdentity("", "", "person", "offline")
    journal = Journal(folder / JOURNAL, clock=SystemClock(), node=node)
    try:
        state, reason, flattening = TradingState.ACTIVE, "", False
        general = journal.recover()[0]
        breakers = {broker: each.value for broker, (each, _) in left_open(general).items()}
        for entry in general:
            if entry.kind == Kind.CONTROL and "state" in entry.body:
                state = TradingState(entry.body["state"])
                reason, flattening = entry.body["reason"], entry.body.get("flattening", False)
        if verb == "close-breaker":
            _close(journal, breakers, fields["broker"], fields["by"])
            await journal.flushed()
        elif (changed := _decided(verb, fields, state, reason, flattening)) is not None:
            state, reason, flattening = changed
            if verb == "resume" and journal.problem:
                accept(journal, fields.get("by", ""))
            body = control_fields(state, verb, reason, fields.get("by", ""), flattening)
            journal.append(journal.scribe.row(Kind.CONTROL, body))
            await journal.flushed()
        if journal.problem and state is TradingState.ACTIVE:
            state, reason = TradingState.REDUCING, journal.problem
    finally:
        journal.close()
    return {
        "state": state,
        "reason": reason,
        "flattening": flattening,
        "running": False,
        "breakers": breakers,
    }


def _close(journal: Journal, breakers: dict[str, str], broker: str, by: str) -> None:
    if broker not in breakers:
        known = sorted(breakers)
        raise OrderError(
            f"no breaker of {broker!r} was open when the last process ended"
            f"{did_you_mean(broker, known)}",
            hint=f"open are {known}" if known else "none is open: nothing needs closing",
        )
    breakers[broker] = BreakerState.CLOSED.value
    body = {"action": "breaker", "broker": broker, "breaker": breakers[broker]}
    journal.append(journal.scribe.row(Kind.CONTROL, {**body, "reason": f"closed by {by}"}))


def _decided(
    verb: str, fields: Mapping[str, str], state: TradingState, reason: str, flattening: bool
) -> tuple[TradingState, str, bool] | None:
    if verb == "halt":
        return TradingState.HALTED, fields["reason"], flattening
    if verb == "reduce":
        if state is not TradingState.ACTIVE:
            return None
        return TradingState.REDUCING, fields["reason"], flattening
    if verb == "flatten":
        if state is TradingState.ACTIVE:
            state, reason = TradingState.REDUCING, "flatten was asked for"
        return state, reason, True
    if verb == "resume":
        return TradingState.ACTIVE, "", False
    if verb == "status":
        return None
    raise StateError(
        f"'{verb}' needs the running process, and none runs", hint="start it, and ask again"
    )
