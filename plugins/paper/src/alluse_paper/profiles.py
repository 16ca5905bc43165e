"""The figures that the synthetic market is made from.

They were computed from the recordings in ../shared/data/market by
``python benchmarks/fit_synthetic.py``, with the estimators of :mod:`alluse_paper.moments`:

* SPY, BAC, IBM, AIG: us_equity_second, regular sessions (13:30-20:00 UTC) of 2013-10-07 and
  2013-10-08, tick 0.01 USD;
* EURUSD, NZDUSD: fx_tick_two_venues, the OANDA rows of 2014-05-06 (19 h), tick 0.00001; fxcm's
  are crossed in a tenth of the rows;
* OPTION: options_minute, GOOG 2015-12-24 and TWX 2014-06-05, contracts within 3 % of the money;
  implied volatility of those within 0.5 % of it that expire in 20 to 60 days;
* FUTURE is no fit, there is no recording of one: it has SPY's rates and volatility, at ten times
  SPY's price, with a tick of 0.25 and sizes in contracts of 50 times the index (SPY's over 500);
* CHAIN sets the pace of an option in a chain: the recordings' once-a-minute rows bound it from
  below (0.02 quotes a second) and tell no more.
"""

from __future__ import annotations

import math

import attrs

from alluse_paper.moments import Moments

SPY = Moments(3.432, 1.292, 0.991, 0.985, 3.215, 5200.0, 1.110, 2300.0, 1.675)
BAC = Moments(1.539, 0.759, 0.998, 0.999, 4.851, 64750.0, 0.656, 900.0, 1.715)
IBM = Moments(0.702, 0.290, 3.958, 0.548, 3.922, 200.0, 0.707, 400.0, 1.055)
AIG = Moments(1.761, 0.247, 1.032, 0.986, 5.503, 1100.0, 0.780, 600.0, 1.238)
EURUSD = Moments(0.291, 0.0, 12.25, 0.206, 0.792, math.nan, math.nan, math.nan, math.nan)
NZDUSD = Moments(0.304, 0.0, 29.25, 0.111, 2.085, math.nan, math.nan, math.nan, math.nan)
FUTURE = attrs.evolve(SPY, size_median=10.4, volume_median=4.6)
CHAIN = attrs.evolve(IBM, quote_rate=0.05, trade_rate=0.004)

# fmt: off
ACTIVITY = (
    1.035, 1.085, 1.053, 1.031, 0.988, 0.845, 0.877, 0.833, 0.774, 1.034, 0.932, 1.047, 1.467,
)
"""Quote rate of each half hour of the session over the mean, the four stocks together."""

VOLATILITY = (
    1.705, 1.239, 0.918, 0.873, 0.883, 0.796, 0.807, 0.763, 0.775, 0.998, 0.858, 0.811, 1.085,
)
"""Root mean square one-minute return of each half hour over the session's, mean of the four."""
# fmt: on

LOADINGS = {SPY: 0.95, AIG: 0.74, BAC: 0.56, IBM: 0.54}
"""Share of a standard deviation that comes from the market as a whole.

The one-factor fit to the correlations of the four stocks' one-minute returns (SPY-AIG 0.71,
SPY-BAC 0.54, SPY-IBM 0.52, BAC-AIG 0.45, IBM-AIG 0.34, BAC-IBM 0.22)."""

OPTION_RELATIVE_SPREAD = 0.0776
"""Median of (ask - bid) / mid."""

OPTION_SIZE_MEDIAN, OPTION_SIZE_SIGMA = 33.0, 1.149
"""Contracts, and the standard deviation of the logarithm."""

OPTION_IMPLIED_VOLATILITY = 0.277
"""A year, as a share; median."""
