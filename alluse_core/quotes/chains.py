"""Option chains, as an agent reads them: the cost first, then the quotes."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

from alluse_core.clock import Clock
from alluse_core.errors import InstrumentNotFound, QuoteUnavailable, UsageError
from alluse_core.model import (
    ChainPlan,
    ChainProgress,
    ChainWindow,
    Instrument,
    OptionChain,
    OptionParameters,
    Quote,
)
from alluse_core.ports import Broker, OptionChains
from alluse_core.quotes.chain_plan import (
    choose_class,
    choose_expiries,
    choose_strikes,
    cost_of,
)
from alluse_core.quotes.chain_read import ChainReader, Patience, Progress
from alluse_core.telemetry import Histogram

_KEPT_SECONDS = 86400.0
"""New strikes and expiries are listed over night."""

ANSWER_SECONDS = 4.0
"""An option that shows no two sides by then has none now; a liquid one shows them at once."""

OUTAGE_SECONDS = 60.0
"""A gateway's farm or uplink is usually back by then."""


class Chains:
    """The option chains of one broker.

    ``plan`` says what reading would cost, ``read`` reads it. ``pace(n)`` is the seconds that n
    messages take at the broker's rate. ``price`` asks for an underlying's quote.
    """

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        price: Callable[[Instrument], Awaitable[Quote]],
        *,
        pace: Callable[[int], float],
        wanted: Callable[[], bool],
        lend: Callable[[int], None],
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._price = price
        self._pace = pace
        self._wanted = wanted
        self._lend = lend
        self._dwell_ms = Histogram()
        self._offered: dict[Instrument, tuple[float, Sequence[OptionParameters]]] = {}

    async def parameters(self, underlying: Instrument) -> Sequence[OptionParameters]:
        """Return the classes of options on ``underlying``, asked once a day.

        Raises InstrumentNotFound, AmbiguousInstrument, BrokerUnavailable or RequestFailed, and
        UsageError where the broker knows no chains.
        """
        now = self._clock.monotonic()
        kept = self._offered.get(underlying)
        if kept is not None and now - kept[0] < _KEPT_SECONDS:
            return kept[1]
        offered = await self._chains().option_parameters(underlying)
        if offered:
            self._offered[underlying] = (now, offered)
        return offered

    async def plan(
        self,
        underlying: Instrument,
        window: ChainWindow | None = None,
        *,
        price: float | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> ChainPlan:
        """Return what of the chain would be read and what that costs; sends nothing of it yet.

        Asks for the classes once a day, and for the underlying's quote unless ``price`` is given.
        Raises as :meth:`parameters` and ``quotes.get`` do, and InstrumentNotFound where nothing
        lies in the window.
        """
        window = window or ChainWindow()
        chains = self._chains()
        parameters = choose_class(underlying, await self.parameters(underlying), window)
        if price is None:
            price = _price_of(await self._price(underlying))
        expiries = choose_expiries(parameters, window, self._clock.now().date())
        strikes = choose_strikes(parameters, window, price)
        if not expiries or not strikes:
            raise InstrumentNotFound(
                f"no options on {underlying} lie in the window",
                hint=f"expiries run from {parameters.expiries[0]} to {parameters.expiries[-1]}, "
                f"strikes from {parameters.strikes[0]} to {parameters.strikes[-1]}",
            )
        cost = cost_of(
            contracts=len(expiries) * len(strikes) * len(window.rights),
            unknown_expiries=sum(not chains.options_known(parameters, day) for day in expiries),
            free_lines=chains.free_lines,
            pace=self._pace,
            dwell=self._dwell_ms.quantile(0.5) / 1000.0,
            timeout=answer_seconds,
        )
        return ChainPlan(underlying, price, parameters, expiries, strikes, window.rights, cost)

    async def read(
        self,
        plan: ChainPlan,
        progress: Progress | None = None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        outage_seconds: float = OUTAGE_SECONDS,
    ) -> OptionChain:
        """Return a quote of each option of ``plan``, or why there is none.

        Lines in use stay as they are; what others wait for comes first. An option may hold its
        line for ``answer_seconds``, and its time begins again after the broker's data was down;
        that may last ``outage_seconds``. ``progress`` is called in the loop, once per option.
        """
        reader = ChainReader(
            self._chains(),
            self._clock,
            plan,
            Patience(answer_seconds, answer_seconds, outage_seconds),
            wanted=self._wanted,
            lend=self._lend,
            dwelt=lambda seconds: self._dwell_ms.record(seconds * 1000.0),
            progress=progress or _unheard,
        )
        return await reader.read()

    def _chains(self) -> OptionChains:
        if not isinstance(self._broker, OptionChains):
            raise UsageError(
                f"broker {self._broker.name!r} knows no option chains",
                hint="ask a broker that does, such as 'ibkr' or 'paper'",
            )
        return self._broker


def _price_of(quote: Quote) -> float:
    """Return the middle, or whatever price there is."""
    prices = (quote.mid, quote.last, quote.bid, quote.ask)
    found = [price for price in prices if not math.isnan(price)]
    if not found:
        raise QuoteUnavailable(
            f"{quote.instrument} has no price to choose strikes around", hint="give price="
        )
    return found[0]


def _unheard(_: ChainProgress) -> None:
    """Nobody asked to be told."""
