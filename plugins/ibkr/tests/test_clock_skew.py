"""What whole seconds of the broker's clock can tell, and what they cannot."""

from __future__ import annotations

import asyncio
import math

import pytest
from alluse_ibkr.clock_skew import Bound, ClockSkew, bound
from ibkr_lab import LIBRARIES, Lab, Peer, connected, frame, scripted

from alluse_core.model import Sample
from alluse_core.testing import VirtualClock

ROUND_TRIP = 0.02


def told(skew: ClockSkew, true_skew: float, asked: float, round_trip: float = ROUND_TRIP) -> None:
    """Add the answer of a broker whose clock is ``true_skew`` s ahead of ours."""
    answer = math.floor(asked + round_trip / 2 + true_skew)
    skew.add(answer, asked, asked + round_trip)


def test_one_answer_bounds_the_skew_by_a_second_and_the_round_trip() -> None:
    assert bound(100, 100.25, 100.5) == Bound(-0.5, 0.75)
    assert bound(100, 100.25, 100.5).proven is None
    assert bound(103, 100.0, 100.5) == Bound(2.5, 4.0)
    assert bound(103, 100.0, 100.5).proven == 3.25
    assert bound(103, 100.0, 100.5).resolution == 0.75


@pytest.mark.parametrize("true_skew", [-30.0, -1.7, -0.4, 0.4, 1.7, 30.0])
def test_answers_at_different_parts_of_a_second_close_in_on_the_skew(true_skew: float) -> None:
    skew = ClockSkew()
    for number in range(50):
        told(skew, true_skew, 1000.0 + number * 0.41)
        known = skew.bound
        assert known is not None
        assert known.low <= true_skew <= known.high
    found = skew.milliseconds()
    assert found is not None
    assert abs(found - true_skew * 1000) <= (skew.resolution() or 0.0) < 60


@pytest.mark.parametrize("true_skew", [0.0, 0.005, -0.005])
def test_what_may_be_no_skew_is_not_reported(true_skew: float) -> None:
    skew = ClockSkew()
    assert skew.milliseconds() is None
    assert skew.resolution() is None
    for number in range(500):
        told(skew, true_skew, 1000.0 + number * 0.41)
        assert skew.milliseconds() is None


def test_a_clock_that_was_set_makes_the_answers_before_it_void() -> None:
    skew = ClockSkew()
    for number in range(50):
        told(skew, 5.0, 1000.0 + number * 0.41)
    told(skew, 0.0, 1100.0)
    assert skew.milliseconds() is None
    assert skew.bound == bound(1100, 1100.0, 1100.0 + ROUND_TRIP)


def test_an_answer_during_which_our_clock_went_back_tells_nothing() -> None:
    skew = ClockSkew()
    skew.add(1000, 1000.0, 990.0)
    assert skew.bound is None


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("ahead", "reported"), [(0, False), (90, True), (-90, True)])
def test_the_rules_gauge_is_there_only_where_a_skew_is_proven(
    library: str, ahead: int, reported: bool
) -> None:
    clock = VirtualClock()

    async def server(peer: Peer) -> None:
        await peer.accept()
        while True:
            if (await peer.message())[0] == "49":
                peer.send(frame(49, 1, int(clock.now().timestamp()) + ahead))

    async def story() -> list[Sample]:
        async with scripted(server) as port:
            lab = Lab(clock, port=port, library=library)
            async with connected(lab) as broker:
                await broker.probe()
                return [s for s in lab.registry.collect(0.0) if s.series.component == "broker"]

    samples = {s.series.metric: s for s in asyncio.run(story())}
    assert samples["clock_skew_resolution_ms"].value == pytest.approx(500)
    assert ("clock_skew_ms" in samples) is reported
    if reported:
        sample = samples["clock_skew_ms"]
        assert str(sample.series) == "broker.clock_skew_ms{broker=main}"
        assert sample.value == pytest.approx(ahead * 1000, abs=500)
