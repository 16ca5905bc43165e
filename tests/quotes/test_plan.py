"""The pure decision between batch, line and snapshot."""

from __future__ import annotations

import math

import pytest

from alluse_core.model import Instrument
from alluse_core.ports import BrokerCapabilities
from alluse_core.quotes.plan import HOT_READS, Demand, LineUse, Plan, Route, choose

A, B, C, D = (Instrument.stock(symbol) for symbol in "ABCD")
IBKR_LIKE = BrokerCapabilities(quote_lines=2, snapshot_batch=1, snapshot_seconds=11.0)
BATCHING = BrokerCapabilities(quote_lines=2, snapshot_batch=50, snapshot_seconds=0.05)


def plan(
    capabilities: BrokerCapabilities,
    *lines: LineUse,
    reads: float = 1.0,
    held: bool = False,
) -> Plan:
    return choose(
        capabilities,
        instrument=D,
        reads=reads,
        held=held,
        lines=lines,
        used=len(lines),
        least_idle=4.0,
    )


def test_without_batch_requests_a_free_line_is_taken_at_the_first_read() -> None:
    assert plan(IBKR_LIKE) == Plan(Route.LINE)


def test_with_batch_requests_a_line_is_for_what_is_read_again_and_again() -> None:
    assert plan(BATCHING, reads=1.0) == Plan(Route.BATCH)
    assert plan(BATCHING, reads=HOT_READS) == Plan(Route.LINE)


def test_when_lines_run_out_the_least_recently_used_one_is_released() -> None:
    busy, idle = LineUse(A, 5.0, False), LineUse(B, 30.0, False)
    assert plan(IBKR_LIKE, busy, idle) == Plan(Route.LINE, release=B)


def test_a_line_that_is_read_is_not_taken_from_its_readers() -> None:
    assert plan(IBKR_LIKE, LineUse(A, 1.0, False), LineUse(B, 2.0, False)) == Plan(Route.SNAPSHOT)


def test_a_streamed_line_is_never_released() -> None:
    assert plan(IBKR_LIKE, LineUse(A, 99.0, True), LineUse(B, 99.0, True)) == Plan(Route.SNAPSHOT)


@pytest.mark.parametrize(
    "capabilities",
    [BrokerCapabilities(streams=False), BrokerCapabilities(quote_lines=0)],
)
def test_a_broker_without_lines_is_asked_for_snapshots(capabilities: BrokerCapabilities) -> None:
    assert plan(capabilities, reads=100.0) == Plan(Route.SNAPSHOT)


def test_an_instrument_whose_line_is_silent_is_asked_for_by_snapshot() -> None:
    assert plan(IBKR_LIKE, held=True) == Plan(Route.SNAPSHOT)


def test_demand_fades_with_its_window() -> None:
    demand = Demand(window=60.0)
    assert [demand.count(A, 0.0) for _ in range(3)] == [1.0, 2.0, 3.0]
    assert demand.of(A, 60.0) == pytest.approx(3.0 / math.e)
    assert demand.of(B, 60.0) == 0.0


def test_demand_holds_a_bounded_number_of_instruments() -> None:
    demand = Demand(window=60.0, capacity=2)
    for instrument in (A, B, A, C):
        demand.count(instrument, 0.0)
    assert demand.of(B, 0.0) == 0.0
    assert demand.of(A, 0.0) == 2.0


MANY = BrokerCapabilities(quote_lines=20, snapshot_batch=1, snapshot_seconds=11.0)
NAMES = [Instrument.stock(f"N{number}") for number in range(20)]


def full(**changed: LineUse) -> list[LineUse]:
    """Return twenty lines, N19 worth most; those that are named are replaced."""
    lines = [LineUse(one, 1.0, False, demand=float(n)) for n, one in enumerate(NAMES)]
    return [changed.get(line.instrument.symbol, line) for line in lines]


def test_what_is_seldom_read_is_polled_by_the_least_worthy_line() -> None:
    assert plan(MANY, *full()) == Plan(Route.LINE, release=NAMES[0])


def test_a_line_that_polls_is_not_taken_before_it_has_answered() -> None:
    asking = LineUse(NAMES[0], 0.1, False, demand=0.0, answered=False)
    assert plan(MANY, *full(N0=asking)) == Plan(Route.LINE, release=NAMES[1])


def test_a_scan_waits_for_the_lines_that_poll_and_leaves_the_others_alone() -> None:
    asking = {
        f"N{n}": LineUse(NAMES[n], 0.1, False, demand=float(n), answered=False) for n in (0, 1)
    }
    assert plan(MANY, *full(**asking), reads=1.0) == Plan(Route.WAIT)


def test_a_line_changes_hands_only_for_what_is_worth_clearly_more() -> None:
    asking = {f"N{n}": LineUse(NAMES[n], 0.1, False, demand=0.0, answered=False) for n in (0, 1)}
    rested = LineUse(NAMES[2], 5.0, False, demand=2.0)
    assert plan(MANY, *full(N2=rested, **asking), reads=2.9) == Plan(Route.WAIT)
    assert plan(MANY, *full(N2=rested, **asking), reads=3.0) == Plan(Route.LINE, NAMES[2])


def test_what_an_order_or_a_position_needs_is_not_among_the_lines_that_poll() -> None:
    needed = {f"N{n}": LineUse(NAMES[n], 99.0, True, demand=0.0) for n in (0, 1, 2)}
    assert plan(MANY, *full(**needed)) == Plan(Route.LINE, release=NAMES[3])


def test_reads_that_one_quote_serves_count_once() -> None:
    demand = Demand(window=60.0, gap=0.5)
    assert [demand.count(A, at) for at in (0.0, 0.1, 0.49)] == [1.0, 1.0, 1.0]
    assert demand.count(A, 0.5) == pytest.approx(2.0, abs=0.01)
