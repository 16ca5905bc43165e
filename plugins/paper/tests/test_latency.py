"""How long an order and its answers are on their way."""

from __future__ import annotations

import statistics
from random import Random

import pytest
from alluse_paper.fill_model import FillModel
from exchange_floor import Floor


def test_delays_have_the_median_of_the_settings_and_the_same_seed_gives_the_same() -> None:
    model = FillModel(latency_ms=8.0, latency_sigma=0.5)
    draws = [model.delay(random) for random in [Random(4)] for _ in range(4_000)]
    assert statistics.median(draws) == pytest.approx(0.008, rel=0.05)
    assert min(draws) > 0
    assert draws[:10] == [model.delay(random) for random in [Random(4)] for _ in range(10)]
    assert FillModel(latency_ms=0.0).delay(Random(4)) == 0.0


def test_an_order_reaches_the_market_as_it_is_then_not_as_it_was() -> None:
    floor = Floor(latency_ms=1_500.0, latency_sigma=0.0)
    floor.quote(99.98, 100.02, 300, 200)
    number = floor.send("BUY", 100)
    floor.quote(99.98, 100.30, 300, 200)
    assert floor.fills(number) == []
    floor.run()
    assert floor.order(number).average_price == 100 + 3 * floor.order(number).filled / 1000
    assert floor.said == [], "its answer is still under way"
    floor.run()
    floor.run()
    assert floor.words(number) == ["OrderAccepted", "OrderFilled"]


@pytest.mark.parametrize("wrong", [{"latency_ms": -1.0}, {"latency_sigma": float("nan")}])
def test_a_delay_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be zero or more"):
        FillModel(**wrong)  # type: ignore[arg-type]
