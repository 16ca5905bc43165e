"""A person's decision where no process runs: into its journal, so that the next one starts so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alluse_core.clock import SystemClock
from alluse_core.errors import StateError
from alluse_core.model import NodeIdentity
from alluse_core.orders.control import accept, control_fields
from alluse_core.orders.journal import Journal
from alluse_core.orders.records import Kind
from alluse_core.ports import TradingState
from alluse_core.state import JOURNAL


async def decide(folder: Path, verb: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """Write a decision into the journal of a process that does not run now; return how it stands.

    The caller holds the state folder. Raises StateError for what needs the running process.
    """
    if not (folder / JOURNAL).exists():
        raise StateError(f"{str(folder)!r} has no journal", hint="was it ever traded with?")
    node = NodeIdentity("", "", "person", "offline")
    journal = Journal(folder / JOURNAL, clock=SystemClock(), node=node)
    try:
        state, reason, flattening = TradingState.ACTIVE, "", False
        for entry in journal.recover()[0]:
            if entry.kind == Kind.CONTROL and "state" in entry.body:
                state = TradingState(entry.body["state"])
                reason, flattening = entry.body["reason"], entry.body.get("flattening", False)
        changed = _decided(verb, fields, state, reason, flattening)
        if changed is not None:
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
    return {"state": state, "reason": reason, "flattening": flattening, "running": False}


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
