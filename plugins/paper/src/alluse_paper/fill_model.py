"""How the exchange behaves where a recording of the top of book does not say."""

from __future__ import annotations

import math
from decimal import Decimal
from random import Random

import attrs


def _not_negative(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{attribute.name} must be zero or more, not {value}")


@attrs.frozen
class FillModel:
    """Latency, queue and liquidity.

    ``latency_ms``: median one-way delay between caller and exchange; drawn per message from a
    log-normal with ``latency_sigma``, one stream each way, so nothing overtakes. 0 delivers with
    the event loop's next turn.
    ``queue``: a resting order stands behind the size displayed at its price when it came and
    fills by what trades through that; without it, any trade at its price fills it.
    ``undisclosed_size``: units that can be had at a price whose size the market does not show
    (forex).
    ``enforce_hours``: orders without ``outside_rth`` wait for the regular session, and DAY orders
    expire with it.
    ``check_margin``: orders that would need more than the available funds are rejected.
    """

    latency_ms: float = attrs.field(default=5.0, validator=_not_negative)
    latency_sigma: float = attrs.field(default=0.4, validator=_not_negative)
    queue: bool = True
    undisclosed_size: Decimal = Decimal(5_000_000)
    enforce_hours: bool = True
    check_margin: bool = True

    def delay(self, random: Random) -> float:
        """Draw one one-way delay in seconds."""
        if self.latency_ms == 0:
            return 0.0
        return self.latency_ms / 1000 * math.exp(random.gauss(0.0, self.latency_sigma))
