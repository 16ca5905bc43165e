"""The state machines, as tables and as properties."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluse_core.model import BrokerStatus, OrderIdentity, OrderReport, OrderState
from alluse_core.orders.states import (
    CommandEvent,
    CommandState,
    Event,
    command_step,
    event_of,
    step,
)

S, E = OrderState, Event
EVENTS = st.lists(st.sampled_from(list(Event)), max_size=30)


@pytest.mark.parametrize(
    ("before", "event", "after", "possible"),
    [
        (S.INTENT, E.SUBMIT, S.SUBMITTED, True),
        (S.INTENT, E.DENY, S.DENIED, True),
        (S.INTENT, E.FILL, S.INTENT, False),
        (S.SUBMITTED, E.WITHDRAW, S.CANCELED, True),
        (S.SUBMITTED, E.NOT_SENT, S.DENIED, True),
        (S.SUBMITTED, E.PENDING, S.SUBMITTED, True),
        (S.SUBMITTED, E.LOSE, S.UNKNOWN, True),
        (S.ACCEPTED, E.WITHDRAW, S.ACCEPTED, False),
        (S.ACCEPTED, E.NOT_SENT, S.ACCEPTED, False),
        (S.ACCEPTED, E.HOLD, S.HELD, True),
        (S.HELD, E.WORK, S.ACCEPTED, True),
        (S.PARTIALLY_FILLED, E.WORK, S.PARTIALLY_FILLED, True),
        (S.PARTIALLY_FILLED, E.REJECT, S.CANCELED, True),
        (S.FILLED, E.WORK, S.FILLED, True),
        (S.FILLED, E.CANCEL, S.FILLED, False),
        (S.FILLED, E.REVIVE, S.ACCEPTED, False),
        (S.CANCELED, E.PART_FILL, S.CANCELED, True),
        (S.CANCELED, E.FILL, S.FILLED, True),
        (S.CANCELED, E.WORK, S.CANCELED, False),
        (S.CANCELED, E.REVIVE, S.ACCEPTED, False),
        (S.REJECTED, E.PART_FILL, S.UNKNOWN, False),
        (S.REJECTED, E.CANCEL, S.REJECTED, True),
        (S.DENIED, E.FILL, S.FILLED, False),
        (S.EXPIRED, E.CANCEL, S.EXPIRED, True),
        (S.UNKNOWN, E.PENDING, S.UNKNOWN, True),
        (S.UNKNOWN, E.REJECT, S.REJECTED, True),
    ],
)
def test_the_table(before: OrderState, event: Event, after: OrderState, possible: bool) -> None:
    result = step(before, event)
    assert (result.state, result.possible) == (after, possible)


@pytest.mark.parametrize(("state", "event"), list(product(OrderState, Event)))
def test_every_pair_has_an_answer_and_ends_stay_ended_without_the_brokers_word(
    state: OrderState, event: Event
) -> None:
    result = step(state, event)
    assert isinstance(result.state, OrderState)
    if state.is_terminal and not result.state.is_terminal:
        assert not result.possible, "only a contradiction reopens what ended, and it is alarmed"
        assert event in (E.PART_FILL, E.REVIVE)
    if event is E.LOSE:
        assert result.state in (state, S.UNKNOWN)


@given(EVENTS)
def test_replaying_events_gives_the_same_state(events: list[Event]) -> None:
    def play() -> OrderState:
        state = S.SUBMITTED
        for event in events:
            state = step(state, event).state
        return state

    assert play() is play()


@given(EVENTS)
def test_an_unknown_order_is_settled_by_evidence_alone(events: list[Event]) -> None:
    ours = {E.SUBMIT, E.DENY, E.WITHDRAW, E.NOT_SENT, E.PENDING, E.LOSE}
    state = S.UNKNOWN
    for event in events:
        after = step(state, event).state
        if event in ours and state is S.UNKNOWN:
            assert after is S.UNKNOWN
        state = after


def test_the_words_of_states_and_events_are_those_that_older_journals_hold() -> None:
    for word in (*Event, *OrderState, *CommandState, *CommandEvent):
        assert word.value == word.name


def test_repeating_an_event_changes_nothing_more() -> None:
    for state, event in product(OrderState, Event):
        if event is E.PART_FILL and state in (S.DENIED, S.REJECTED):
            # The first contradicts and makes it UNKNOWN; another fill shows it alive.
            continue
        after = step(state, event).state
        assert step(after, event).state is after, (state, event)


@pytest.mark.parametrize(
    ("status", "filled", "remaining", "event"),
    [
        (BrokerStatus.PENDING, None, None, E.PENDING),
        (BrokerStatus.HELD, "0", "100", E.HOLD),
        (BrokerStatus.WORKING, None, None, E.WORK),
        (BrokerStatus.WORKING, "40", "60", E.PART_FILL),
        (BrokerStatus.WORKING, "100", "0", E.FILL),
        (BrokerStatus.PENDING_CANCEL, "0", "100", E.WORK),
        (BrokerStatus.FILLED, "100", "0", E.FILL),
        (BrokerStatus.FILLED, None, None, E.FILL),
        (BrokerStatus.FILLED, "40", "60", E.PART_FILL),
        (BrokerStatus.CANCELED, "40", "60", E.CANCEL),
        (BrokerStatus.CANCELED, "100", "0", E.FILL),
        (BrokerStatus.REJECTED, None, None, E.REJECT),
        (BrokerStatus.EXPIRED, None, None, E.EXPIRE),
    ],
)
def test_what_a_report_says(
    status: BrokerStatus, filled: str | None, remaining: str | None, event: Event
) -> None:
    report = OrderReport(
        "b",
        OrderIdentity(),
        status,
        None if filled is None else Decimal(filled),
        None if remaining is None else Decimal(remaining),
    )
    assert event_of(report, Decimal(100)) is event


@given(st.lists(st.sampled_from(list(CommandEvent)), max_size=20))
def test_a_decided_command_stays_decided(events: list[CommandEvent]) -> None:
    state = CommandState.QUEUED
    decided = {CommandState.CONFIRMED, CommandState.REFUSED, CommandState.WITHDRAWN}
    for event in events:
        after = command_step(state, event)
        if (state, event) == (CommandState.REFUSED, CommandEvent.LATE_ECHO):
            # A refusal may have been inferred; the broker's echo is the better word.
            assert after is CommandState.CONFIRMED
        elif state in decided:
            assert after is None
        state = after or state


def test_a_command_that_did_not_leave_waits_again() -> None:
    assert command_step(CommandState.SENT, CommandEvent.DEFER) is CommandState.QUEUED
    assert command_step(CommandState.LOST, CommandEvent.CONFIRM) is CommandState.CONFIRMED
    assert not CommandState.LOST.is_pending


@pytest.mark.parametrize("filled", ["1", "0.5"])
def test_a_live_status_with_the_least_fill_beside_it_is_a_part_fill(filled: str) -> None:
    part, rest = Decimal(filled), 100 - Decimal(filled)
    report = OrderReport("b", OrderIdentity(), BrokerStatus.WORKING, part, rest)
    assert event_of(report, Decimal(100)) is E.PART_FILL
