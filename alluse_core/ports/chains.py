"""Option chains, by brokers that have them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol, runtime_checkable

from alluse_core.model import Instrument, OptionParameters
from alluse_core.ports.broker import QuoteSink, Subscription


class OpenLine(Subscription, Protocol):
    """A stream that tells where the broker refused it."""

    @property
    def refused(self) -> str:
        """Why the broker does not stream this; empty where it does."""


@runtime_checkable
class OptionChains(Protocol):
    """What a Broker offers beside its own port where it knows option chains.

    Queries raise BrokerUnavailable or RequestFailed, as those of a Broker do.
    """

    @property
    def free_lines(self) -> int:
        """How many more instruments could stream now."""

    @property
    def data_up(self) -> bool:
        """Whether quotes can come in now."""

    async def option_parameters(self, underlying: Instrument) -> Sequence[OptionParameters]:
        """Return the classes of options on ``underlying``; empty where there are none.

        Raises InstrumentNotFound or AmbiguousInstrument for the underlying.
        """

    def options_known(self, parameters: OptionParameters, expiry: date) -> bool:
        """Return whether ``options`` answers without asking."""

    async def options(self, parameters: OptionParameters, expiry: date) -> Sequence[Instrument]:
        """Return what is listed of a class for one expiry, with one question at most."""

    async def open_line(self, instrument: Instrument, sink: QuoteSink) -> OpenLine:
        """Stream like ``subscribe``, and return once the request has left.

        The line is taken before this first waits. Raises RequestFailed where none is free.
        """
