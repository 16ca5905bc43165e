"""Compute the figures that alluse_paper's synthetic market is made from.

    python benchmarks/fit_synthetic.py [FOLDER]

FOLDER holds the recordings (by default ../shared/data/market beside the repository). Prints one
line for each table row of alluse_paper/profiles.py.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from alluse_paper.market import QuoteEvent
from alluse_paper.moments import Observations, activity_shape, moments, volatility_shape
from alluse_paper.recording import Recording

from alluse_core.model import Right

STOCKS = ("SPY", "BAC", "IBM", "AIG")
DAYS = (date(2013, 10, 7), date(2013, 10, 8))
SESSION_SECONDS = 6.5 * 3600


def stock_sessions(folder: Path) -> dict[str, list[Observations]]:
    """Return the two regular sessions (13:30-20:00 UTC) of each recorded stock."""
    found: dict[str, list[Observations]] = defaultdict(list)
    for day in DAYS:
        start = datetime(day.year, day.month, day.day, 13, 30, tzinfo=UTC).timestamp()
        today = {symbol: Observations(start, SESSION_SECONDS) for symbol in STOCKS}
        for kind in ("quotes", "trades"):
            path = folder / "us_equity_second" / f"{kind}_{day:%Y%m%d}.csv.gz"
            for event in Recording(path).events():
                today[event.instrument.symbol].take(event)
        for symbol, session in today.items():
            found[symbol].append(session)
    return found


def forex_sessions(folder: Path) -> dict[str, list[Observations]]:
    """Return what the two venues recorded of each pair, each on its own."""
    recording = Recording(folder / "fx_tick_two_venues")
    times = [event.time for event in recording.events()]
    start, seconds = times[0], times[-1] - times[0]
    found = {listing.instrument: Observations(start, seconds) for listing in recording.listings()}
    for event in recording.events():
        found[event.instrument].take(event)
    return {f"{each} at {each.exchange}": [session] for each, session in found.items()}


def option_figures(folder: Path) -> dict[str, float]:
    """Return the spread, size and volatility of options near the money (within 3 %).

    Relative spread = (ask - bid) / mid. The implied volatility is Brenner and Subrahmanyam's
    approximation: straddle / (0.8 x spot x sqrt(years)).
    """
    spreads: list[float] = []
    sizes: list[float] = []
    volatility: list[float] = []
    for name, day in (("goog_20151224", date(2015, 12, 24)), ("twx_20140605", date(2014, 6, 5))):
        spot = math.nan
        mids: dict[tuple[date, Decimal], dict[Right, float]] = defaultdict(dict)
        chain = folder / "options_minute"
        under = {
            int(event.time): (event.bid + event.ask) / 2
            for event in Recording(chain / f"{name}_underlying_quotes.csv.gz").events()
            if isinstance(event, QuoteEvent)
        }
        for event in Recording(chain / f"{name}_quotes.csv.gz").events():
            spot = under.get(int(event.time), spot)
            instrument = event.instrument
            if not isinstance(event, QuoteEvent) or not event.bid > 0 or not event.ask > event.bid:
                continue
            near_money = abs(float(instrument.strike or 0) / spot - 1) < 0.03
            if not near_money or instrument.expiry is None or instrument.right is None:
                continue
            mid = (event.bid + event.ask) / 2
            spreads.append((event.ask - event.bid) / mid)
            sizes += [event.bid_size, event.ask_size]
            days = (instrument.expiry - day).days
            if 20 <= days <= 60 and abs(float(instrument.strike or 0) / spot - 1) < 0.005:
                pair = mids[instrument.expiry, instrument.strike or Decimal(0)]
                pair[instrument.right] = mid
                if len(pair) == 2:
                    volatility.append(sum(pair.values()) / (0.8 * spot * math.sqrt(days / 365)))
    logarithms = [math.log(size) for size in sizes if size > 0]
    return {
        "relative_spread_median": statistics.median(spreads),
        "size_median": math.exp(statistics.median(logarithms)),
        "size_sigma": statistics.pstdev(logarithms),
        "implied_volatility": statistics.median(volatility),
    }


def main() -> None:
    """Print everything."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "market"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    stocks = stock_sessions(folder)
    for symbol, sessions in stocks.items():
        print(symbol, moments(sessions, 0.01))
    everything = [session for sessions in stocks.values() for session in sessions]
    print("activity", [round(x, 3) for x in activity_shape(everything)])
    shapes = [volatility_shape(sessions) for sessions in stocks.values()]
    print("volatility", [round(statistics.fmean(each), 3) for each in zip(*shapes, strict=True)])
    for pair, sessions in forex_sessions(folder).items():
        hours = sessions[0].seconds / 3600
        print(pair, f"({hours:.2f} h)", moments(sessions, 0.00001))
    print("options", option_figures(folder))


if __name__ == "__main__":
    main()
