"""The synthetic market's figures are those of the recordings."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest
from alluse_paper import profiles
from alluse_paper.moments import Moments, Observations, activity_shape, moments, volatility_shape
from alluse_paper.recording import Recording

STOCKS = ("SPY", "BAC", "IBM", "AIG")


@pytest.fixture(scope="module")
def sessions(recordings: Path) -> dict[str, list[Observations]]:
    """The two regular sessions of each recorded stock."""
    found: dict[str, list[Observations]] = defaultdict(list)
    for day in (7, 8):
        start = datetime(2013, 10, day, 13, 30, tzinfo=UTC).timestamp()
        for symbol in STOCKS:
            found[symbol].append(Observations(start, 6.5 * 3600))
    for event in Recording(recordings / "us_equity_second").events():
        for session in found[event.instrument.symbol]:
            session.take(event)
    return found


@pytest.mark.slow
def test_the_stocks_profiles_are_what_the_recordings_say(
    sessions: dict[str, list[Observations]],
) -> None:
    for symbol in STOCKS:
        _same(moments(sessions[symbol], 0.01), getattr(profiles, symbol))


@pytest.mark.slow
def test_the_intraday_shapes_are_what_the_recordings_say(
    sessions: dict[str, list[Observations]],
) -> None:
    everything = [session for symbol in STOCKS for session in sessions[symbol]]
    assert activity_shape(everything) == pytest.approx(profiles.ACTIVITY, abs=0.001)
    shapes = [volatility_shape(sessions[symbol]) for symbol in STOCKS]
    mean = [math.fsum(each) / len(each) for each in zip(*shapes, strict=True)]
    assert mean == pytest.approx(profiles.VOLATILITY, abs=0.001)


@pytest.mark.slow
def test_the_currency_pairs_profiles_are_what_the_recordings_say(recordings: Path) -> None:
    events = list(Recording(recordings / "fx_tick_two_venues").events())
    start = events[0].time
    for pair, profile in (("EUR", profiles.EURUSD), ("NZD", profiles.NZDUSD)):
        session = Observations(start, events[-1].time - start)
        for event in events:
            if (event.instrument.symbol, event.instrument.exchange) == (pair, "OANDA"):
                session.take(event)
        _same(moments([session], 0.00001), profile)


def _same(measured: Moments, profile: Moments) -> None:
    for field in attrs.fields(Moments):
        wanted, got = getattr(profile, field.name), getattr(measured, field.name)
        assert got == pytest.approx(wanted, rel=0.005, abs=0.001, nan_ok=True), field.name
