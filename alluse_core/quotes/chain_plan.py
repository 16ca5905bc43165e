"""What of an option chain is read, and what that costs. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal

from alluse_core.errors import InstrumentNotFound
from alluse_core.model import ChainCost, ChainWindow, Instrument, OptionParameters

MESSAGES_PER_LINE = 2
"""A subscription and its end."""


def choose_class(
    underlying: Instrument, offered: Sequence[OptionParameters], window: ChainWindow
) -> OptionParameters:
    """Return the class that is wanted. Raises InstrumentNotFound where none fits."""
    if not offered:
        raise InstrumentNotFound(
            f"no options are listed on {underlying.id}", hint="options are on stocks and indexes"
        )
    fit = [
        each
        for each in offered
        if each.exchange == window.exchange
        and window.trading_class in ("", each.trading_class)
        and each.expiries
        and each.strikes
    ]
    if not fit:
        known = sorted({f"{each.trading_class} on {each.exchange}" for each in offered})
        raise InstrumentNotFound(
            f"{underlying.id} has no options of class {window.trading_class or 'any'} on "
            f"{window.exchange}",
            hint="there are " + ", ".join(known),
        )
    return max(
        fit,
        key=lambda each: (
            each.trading_class == underlying.symbol,
            len(each.expiries) * len(each.strikes),
            each.trading_class,
        ),
    )


def choose_expiries(
    parameters: OptionParameters, window: ChainWindow, today: date
) -> tuple[date, ...]:
    """Return the first expiries of the window, rising; none that has passed."""
    first = max(today, window.first_day or today)
    last = window.last_day or date.max
    return tuple(day for day in sorted(parameters.expiries) if first <= day <= last)[
        : window.expiries
    ]


def choose_strikes(
    parameters: OptionParameters, window: ChainWindow, price: float
) -> tuple[Decimal, ...]:
    """Return the strikes nearest to ``price``, rising; of two as near the lower one first."""
    reach = math.inf if window.width is None else abs(price) * window.width
    near = [each for each in parameters.strikes if abs(float(each) - price) <= reach]
    near.sort(key=lambda strike: (abs(float(strike) - price), strike))
    return tuple(sorted(near[: window.strikes]))


def cost_of(
    *,
    contracts: int,
    unknown_expiries: int,
    free_lines: int,
    pace: Callable[[int], float],
    dwell: float,
    timeout: float,
) -> ChainCost:
    """Return the cost of ``contracts`` options.

    ``unknown_expiries`` are asked for with a message each, and their price increments with one
    for all. ``pace(n)`` is the seconds that n messages take; ``dwell`` those that an option held
    its line for before, NaN: not known; ``timeout`` the most that one may hold it for.
    """
    asked = unknown_expiries + 1 if unknown_expiries else 0
    messages = asked + MESSAGES_PER_LINE * contracts
    lines = min(free_lines, contracts)
    least = pace(messages)
    rounds = math.ceil(contracts / lines) if lines else (math.inf if contracts else 0)
    return ChainCost(
        contracts=contracts,
        lines=lines,
        messages=messages,
        least_seconds=least,
        seconds=math.nan if math.isnan(dwell) else max(least, rounds * dwell),
        most_seconds=least + rounds * timeout,
    )
