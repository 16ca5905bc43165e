"""IBKR's rules for historical requests, as a schedule; nothing is sent here."""

from __future__ import annotations

from datetime import timedelta

from alluse_ibkr.history_pacing import (
    Concurrency,
    HistoryRequest,
    HistorySchedule,
    back_off,
    longest_span,
    split,
)
from hypothesis import given
from hypothesis import strategies as st

SMALL = timedelta(seconds=5)
LARGE = timedelta(minutes=1)


def request(
    contract: str = "A", until: str = "", shows: str = "TRADES", size: timedelta = SMALL
) -> HistoryRequest:
    return HistoryRequest(contract, "SMART", shows, until, "60 S", size)


def send(schedule: HistorySchedule, now: float, *requests: HistoryRequest) -> None:
    for one in requests:
        assert schedule.delay(one, now) == 0.0
        schedule.note(one, now)


def test_an_identical_request_waits_fifteen_seconds() -> None:
    schedule = HistorySchedule()
    send(schedule, 0.0, request())
    assert schedule.delay(request(), 0.0) >= 15.0
    assert schedule.delay(request(), 15.1) == 0.0


def test_the_sixth_of_one_contract_waits_two_seconds_and_another_contract_does_not() -> None:
    schedule = HistorySchedule()
    send(schedule, 0.0, *(request(until=str(n)) for n in range(5)))
    assert schedule.delay(request(until="6"), 0.0) >= 2.0
    assert schedule.delay(request("B"), 0.0) == 0.0
    assert schedule.delay(request(until="6"), 2.1) == 0.0


def test_the_sixty_first_in_ten_minutes_waits_for_the_first_to_leave_the_window() -> None:
    schedule = HistorySchedule()
    for n in range(60):
        send(schedule, float(n), request(f"C{n}"))
    assert schedule.delay(request("X"), 60.0) >= 540.0
    assert schedule.delay(request("X"), 600.1) == 0.0


def test_bid_ask_counts_double() -> None:
    schedule = HistorySchedule()
    for n in range(30):
        send(schedule, float(n), request(f"C{n}", shows="BID_ASK"))
    assert schedule.delay(request("X"), 30.0) >= 570.0


def test_larger_bars_are_under_none_of_these_rules() -> None:
    schedule = HistorySchedule()
    send(schedule, 0.0, *(request(size=LARGE) for _ in range(100)))
    assert schedule.delay(request(), 0.0) == 0.0


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["TRADES", "BID_ASK"])),
        max_size=150,
    )
)
def test_whatever_is_asked_no_rule_is_ever_broken(asked: list[tuple[int, int, str]]) -> None:
    schedule, now = HistorySchedule(), 0.0
    sent: list[tuple[float, HistoryRequest]] = []
    for contract, until, shows in asked:
        one = request(str(contract), str(until), shows)
        while (delay := schedule.delay(one, now)) > 0:
            now += delay
        schedule.note(one, now)
        sent.append((now, one))
        assert sum(r.cost for at, r in sent if now - at <= 600.0) <= 60
        assert sum(r.series == one.series for at, r in sent if now - at <= 2.0) < 6
        assert sum(r == one for at, r in sent if now - at <= 15.0) == 1


def test_a_violation_is_waited_out_longer_each_time() -> None:
    assert [back_off(tries) for tries in (1, 2, 3)] == [15.0, 30.0, 60.0]


def test_concurrency_grows_by_one_a_round_and_halves_at_trouble() -> None:
    adaptive = Concurrency(50, start=8)
    for _ in range(9):
        adaptive.answered()
    assert adaptive.limit == 9
    adaptive.troubled()
    assert adaptive.limit == 4
    for _ in range(9):
        adaptive.troubled()
    assert adaptive.limit == 1
    for _ in range(5_000):
        adaptive.answered()
    assert adaptive.limit == 50


def test_a_long_range_is_split_into_durations_that_ibkr_answers() -> None:
    parts = split(timedelta(days=2, hours=6), LARGE)
    day = timedelta(days=1)
    assert parts == [(timedelta(), day), (day, day), (2 * day, timedelta(hours=6))]
    assert split(timedelta(minutes=5), SMALL) == [(timedelta(), timedelta(minutes=5))]
    assert longest_span(timedelta(days=1)) == timedelta(days=365)
