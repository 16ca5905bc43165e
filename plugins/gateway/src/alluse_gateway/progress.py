"""What ``alluse gateway`` tells a person while it serves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from alluse_gateway.ledger import Entry

MOST_LINES = 20
"""Lines of one second; a bot that floods the gateway does not flood the terminal."""


class Progress:
    """Turns ledger entries into lines for ``write``, and counts those that are too many."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._second = 0
        self._lines = 0

    def take(self, entry: Entry) -> None:
        """Tell of one entry, if it is something to tell."""
        teller = _TELLERS.get(entry["event"])
        if teller is None:
            return
        if int(entry["at"]) != self._second:
            self.flush()
            self._second, self._lines = int(entry["at"]), 0
        self._lines += 1
        if self._lines <= MOST_LINES:
            time = datetime.fromtimestamp(entry["at"], UTC)
            self._write(f"{time:%H:%M:%S} {teller(entry)}")

    def flush(self) -> None:
        """Tell how many entries of the last second were not told."""
        if self._lines > MOST_LINES:
            self._write(f"         ... and {self._lines - MOST_LINES} more in that second")
            self._lines = 0


def _order(entry: Entry) -> str:
    name = f"client {entry['client_id']} order {entry['order_id']}"
    return f"{name} ({entry['order_ref']})" if entry["order_ref"] else name


def _placed(entry: Entry) -> str:
    price = entry["limit_price"] if entry["limit_price"] is not None else entry["aux_price"]
    terms = f"{entry['side']} {entry['quantity']} {entry['symbol']} {entry['order_type']}"
    return f"{_order(entry)}: {terms}" + (f" {price}" if price is not None else "")


def _injected(entry: Entry) -> str:
    facts = {
        key: value for key, value in entry.items() if key not in ("seq", "at", "event", "what")
    }
    said = " ".join(f"{key}={value}" for key, value in facts.items() if value is not None)
    return f"fault: {entry['what']} {said}".rstrip()


_TELLERS: dict[str, Callable[[Entry], str]] = {
    "start": lambda e: f"client {e['client_id']} connected",
    "refuse": lambda e: f"client {e['client_id']} refused: {e['code']}",
    "disconnect": lambda e: f"client {e['client_id']} gone: {e['reason']}",
    "rate": lambda e: f"client {e['client_id']} sent {e['received']} messages in a second",
    "unreadable": lambda e: f"connection {e['connection']}: {e['text']}",
    "place": _placed,
    "cancel": lambda e: f"{_order(e)}: cancel asked",
    "fill": lambda e: f"{_order(e)}: {e['side']} {e['quantity']} {e['symbol']} at {e['price']}",
    "canceled": lambda e: f"{_order(e)}: cancelled",
    "expired": lambda e: f"{_order(e)}: expired",
    "reject": lambda e: f"{_order(e)}: rejected: {e['reason']}",
    "inject": _injected,
    "tampered": lambda e: f"fault: message {e['kind']} to client {e['client_id']}: {e['act']}",
    "scenario": lambda e: f"scenario {e['name']} begins, seed {e['seed']}",
    "scenario_failed": lambda e: f"scenario {e['name']}, step {e['step']}: {e['text']}",
    "scenario_ended": lambda e: f"scenario {e['name']} has ended",
}
