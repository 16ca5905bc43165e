"""The control interface's part that makes the market and its data go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alluse_paper.holidays import US_EQUITIES

from alluse_core.errors import InstrumentNotFound, UsageError, did_you_mean
from alluse_core.model import Instrument
from alluse_gateway import notices
from alluse_gateway.control_link import seconds_of

if TYPE_CHECKING:
    from alluse_gateway.server import SimulatedGateway

MOST_FLAPS = 1000

FARMS = {
    "market": (notices.MARKET_FARM_BROKEN, notices.MARKET_FARM_OK),
    "history": (notices.HISTORY_FARM_BROKEN, notices.HISTORY_FARM_OK),
    "definitions": (notices.DEFINITIONS_FARM_BROKEN, notices.DEFINITIONS_FARM_OK),
}
"""The notices that break a farm and mend it."""

MARKET_COMMANDS = (
    "halt",
    "resume",
    "farm_flap",
    "data_type",
    "competing_session",
    "fail_live_updates",
    "depth_reset",
    "early_close",
    "shortable",
)


class MarketControl:
    """Halts, data that stops or changes its type, sessions that end early."""

    if TYPE_CHECKING:
        _gateway: SimulatedGateway

        def broadcast(self, code: int, text: str = "") -> None: ...

        def _note(self, what: str, **facts: Any) -> None: ...

    def halt(self, symbol: str = "", volatility: bool = False) -> None:
        """Halt trading in an instrument: tick 49 says so, its orders wait until it resumes.

        Without ``symbol``, here and in :meth:`resume`: that of the first order. ``volatility``:
        it is a pause after a large move (2), not a regulator's halt (1).
        """
        instrument = self._listed(symbol)
        self._note("halt", symbol=symbol, volatility=volatility)
        self._gateway.exchange.halt(instrument, volatility=volatility)

    def resume(self, symbol: str = "") -> None:
        """Let a halted instrument trade again."""
        instrument = self._listed(symbol)
        self._note("resume", symbol=symbol)
        self._gateway.exchange.halt(instrument, False)

    async def farm_flap(self, farm: str = "market", flaps: int = 1, seconds: float = 1.0) -> None:
        """Break a data farm (market, history, definitions) and mend it, ``flaps`` times.

        It is broken for ``seconds``, and as long whole in between; returns after the last time.
        Contracts are told while the definitions farm is broken, too: from what TWS has kept.
        """
        if farm not in FARMS:
            raise UsageError(f"{farm!r} is not among {list(FARMS)}{did_you_mean(farm, FARMS)}")
        if not 1 <= flaps <= MOST_FLAPS:
            raise UsageError(f"a farm breaks 1 to {MOST_FLAPS} times, not {flaps}")
        pause = seconds_of(seconds)
        self._note("farm_flap", farm=farm, flaps=flaps, seconds=seconds)
        broken, mended = FARMS[farm]
        for number in range(flaps):
            if number:
                await self._gateway.clock.sleep(pause)
            self.broadcast(broken)
            await self._gateway.clock.sleep(pause)
            self.broadcast(mended)

    def data_type(self, kind: int, client: int | None = None) -> int:
        """Let streaming lines go on as live (1), frozen (2), delayed (3) or both (4) data."""
        if kind not in (1, 2, 3, 4):
            raise UsageError(f"a market data type is 1 to 4, not {kind}")
        changed = self._gateway.desks.market_data.become(kind, client)
        self._note("data_type", kind=kind, client=client, lines=changed)
        return changed

    def competing_session(self, on: bool = True) -> int:
        """Log the user in elsewhere: 10197 to every line, no data until it ends (``on`` False)."""
        gateway = self._gateway
        self._note("competing_session", on=on)
        gateway.faults.competing_session = bool(on)
        if on:
            return gateway.desks.market_data.compete()
        gateway.desks.market_data.refresh()
        return 0

    def fail_live_updates(self, client: int | None = None, lines: bool = False) -> int:
        """End bars that are kept up to date, and with ``lines`` market data too, with 10182."""
        ended = self._gateway.desks.history.fail_live(client)
        if lines:
            ended += self._gateway.desks.market_data.fail(client)
        self._note("fail_live_updates", client=client, lines=lines, requests=ended)
        return ended

    def depth_reset(self, client: int | None = None) -> int:
        """Say 317 to market depth requests and begin their books anew."""
        count = self._gateway.desks.depth.reset(client)
        self._note("depth_reset", client=client, requests=count)
        return count

    def early_close(self, minutes: float = 0.0, calendar: str = US_EQUITIES) -> int:
        """End the session of a calendar's instruments so many market minutes from now.

        DAY orders expire then, and contract details tell the shorter hours. Returns how many
        instruments it concerns.
        """
        now = self._gateway.exchange.market_time
        if now != now or not 0 <= minutes < 24 * 60:
            raise UsageError(
                "a session ends 0 to 1440 minutes after a market time that is known",
                hint="the market tells its time with its first event",
            )
        closed = self._gateway.exchange.close_early(calendar, now + 60 * minutes)
        if not closed:
            raise UsageError(f"nothing on the calendar {calendar!r} is open then")
        self._note("early_close", minutes=minutes, calendar=calendar, instruments=len(closed))
        return len(closed)

    def shortable(self, symbol: str, shares: float) -> None:
        """Change how many shares can be borrowed; lines that asked for tick 236 are told."""
        if not 0 <= shares < 1e12:
            raise UsageError(f"shares are 0 to 1e12, not {shares}")
        self._gateway.desks.lent[self._listed(symbol)] = float(shares)
        self._note("shortable", symbol=symbol, shares=shares)
        self._gateway.desks.market_data.lend()

    def _listed(self, symbol: str) -> Instrument:
        if not symbol:
            for booked in self._gateway.desks.orders.book:
                return booked.order.request.instrument
        try:
            return self._gateway.exchange.listing(Instrument.parse(symbol)).instrument
        except (ValueError, InstrumentNotFound) as error:
            raise UsageError(f"no such instrument is listed: {error}") from error
