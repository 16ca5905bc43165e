"""The control interface's faults of connections: the stream, the session, the whole gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from alluse_core.errors import UsageError, did_you_mean
from alluse_gateway import notices
from alluse_gateway.outgoing import SPOILS
from alluse_gateway.session import Session

if TYPE_CHECKING:
    from alluse_gateway.server import SimulatedGateway

LONGEST = 3600.0
"""Seconds of the longest delay that can be meant."""


class LinkControl:
    """Faults of connections. ``client`` is a client id, or None for every client."""

    def __init__(self, gateway: SimulatedGateway) -> None:
        self._gateway = gateway

    # --- the stream -------------------------------------------------------------------------

    def split(self, size: int = 0) -> None:
        """Send in segments of at most ``size`` bytes; 0 ends it."""
        if not 0 <= size <= 65536:
            raise UsageError(f"a segment has 1 to 65536 bytes, or 0 for any, not {size}")
        self._gateway.faults.split = size
        self._note("split", size=size)

    def coalesce(self, seconds: float = 0.0) -> None:
        """Gather messages for so long before they leave as one segment; 0 ends it."""
        self._gateway.faults.coalesce = seconds_of(seconds)
        self._note("coalesce", seconds=seconds)

    def desync(self, client: int | None = None, how: str = "cut") -> int:
        """Break the framing with the next message, and keep the socket; return of how many.

        ``how``: "cut" sends half of a frame, "length" promises a mebibyte that never comes,
        "noise" puts bytes that are no frame before one.
        """
        if how not in SPOILS:
            raise UsageError(f"{how!r} is not among {list(SPOILS)}{did_you_mean(how, SPOILS)}")
        chosen = self._chosen(client)
        self._note("desync", client=client, how=how, connections=len(chosen))
        for session in chosen:
            session.outgoing.spoil = how
        return len(chosen)

    def black_hole(self, on: bool = True, deaf: bool = True) -> None:
        """Accept connections and never answer; without ``deaf`` requests are carried out."""
        self._gateway.faults.says_nothing = on
        self._gateway.faults.hears_nothing = on and deaf
        self._note("black_hole", on=on, deaf=deaf)

    # --- the session ------------------------------------------------------------------------

    def refuse_id(self, client: int, count: int = 1) -> None:
        """Refuse a client id ``count`` times with 326, as if it were in use; 0 ends it."""
        if count < 0:
            raise UsageError(f"count must not be negative, not {count}")
        if count:
            self._gateway.faults.taken_ids[client] = count
        else:
            self._gateway.faults.taken_ids.pop(client, None)
        self._note("refuse_id", client=client, count=count)

    def accounts(self, names: Sequence[str] | None = None) -> None:
        """Tell these accounts to clients that start or ask from now on: none, one, or many.

        Names that are new are opened with the deposit of the others; without ``names`` clients
        are told the truth again.
        """
        if names is not None:
            for name in names:
                self._gateway.exchange.accounts.open(name)
        self._gateway.faults.accounts = None if names is None else tuple(names)
        self._note("accounts", names=None if names is None else list(names))

    def clock_skew(self, seconds: float = 0.0) -> None:
        """Let the time that clients are told run ahead, or behind where negative; 0 ends it."""
        if not abs(seconds) <= 86_400 * 7:
            raise UsageError(f"a skew is at most a week, not {seconds} s")
        self._gateway.faults.clock_skew = float(seconds)
        self._note("clock_skew", seconds=seconds)

    def pacing_kill(self, client: int | None = None) -> int:
        """Say error 100 and close, as for messages sent too fast; return to how many."""
        chosen = self._chosen(client)
        self._note("pacing_kill", client=client, connections=len(chosen))
        for session in chosen:
            session.error(-1, notices.MAX_RATE, notices.MAX_RATE_TEXT)
            session.close("killed for its message rate")
        return len(chosen)

    def pacing(self, limit: int, violations: int = 3) -> None:
        """Limit messages in a second from now on; so many violations in a row disconnect."""
        if limit < 0 or violations < 1:
            raise UsageError("limit is not negative, and violations is at least 1")
        self._gateway.rate_limit = limit
        self._gateway.faults.violations_allowed = violations
        for session in self._chosen(None):
            session.rate.limit = limit
        self._note("pacing", limit=limit, violations=violations)

    # --- the whole gateway ------------------------------------------------------------------

    async def restart(self, seconds: float = 60.0, roll_back: int = 0) -> None:
        """Go away for ``seconds``, as at the daily restart: sockets drop, connects are refused.

        Every client's next order id then lies ``roll_back`` lower than before.
        """
        pause = seconds_of(seconds)
        if roll_back < 0:
            raise UsageError(f"roll_back is not negative, not {roll_back}")
        self._note("restart", seconds=seconds, roll_back=roll_back)
        await self._gateway.stop_listening()
        for session in self._chosen(None):
            session.close("the gateway restarts")
        await self._gateway.clock.sleep(pause)
        next_ids = self._gateway.desks.orders.book.roll_back(roll_back)
        await self._gateway.start_listening()
        self._note("restarted", next_order_ids={str(each): n for each, n in next_ids.items()})

    async def reset(self, seconds: float = 60.0, data_lost: bool = False) -> None:
        """Lose the link to IBKR for ``seconds``, as every night: 1100, then 1102 or 1101."""
        pause = seconds_of(seconds)
        self._note("reset", seconds=seconds, data_lost=data_lost)
        for code, wait in (
            (notices.LINK_LOST, pause),
            (notices.LINK_RESTORED_DATA_LOST if data_lost else notices.LINK_RESTORED, 0.0),
        ):
            self._gateway.announce(code, notices.BROADCASTS[code])
            await self._gateway.clock.sleep(wait)

    def _chosen(self, client: int | None) -> list[Session]:
        return [
            each
            for each in self._gateway.sessions
            if each.alive and (client is None or each.client_id == client)
        ]

    def _note(self, what: str, **facts: Any) -> None:
        self._gateway.ledger.note("inject", what=what, **facts)


def seconds_of(value: float) -> float:
    """Return a delay. Raises UsageError for one that cannot be meant."""
    if not 0 <= value < LONGEST:
        raise UsageError(f"a delay is 0 to {LONGEST:.0f} seconds, not {value}")
    return float(value)
