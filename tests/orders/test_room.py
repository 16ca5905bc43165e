"""How much is left for an exit of a bracket to close, as figures alone."""

from __future__ import annotations

from decimal import Decimal

import attrs
from desk_floor import buy
from hypothesis import given
from hypothesis import strategies as st

from alluse_core.model import OrderState
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.room import ExitRoom, Opened, may_open

D = Decimal
amounts = st.integers(0, 200).map(D)


@st.composite
def rooms(draw: st.DrawFn) -> ExitRoom:
    """An exit beside what its bracket has open, as any word of a broker may leave the two."""
    at_most = draw(amounts)
    entry = Opened(
        at_most,
        at_least=draw(st.integers(-50, int(at_most)).map(D)),
        largest=at_most + draw(amounts),
        short=draw(st.booleans()),
    )
    quantity, reduced = draw(st.integers(1, 200).map(D)), draw(amounts)
    asked = draw(st.just(D(0)) | st.integers(int(quantity), int(quantity + reduced)).map(D))
    return ExitRoom(quantity, reduced, entry, draw(amounts), asked)


def room(quantity: int, reduced: int, opens: int, beside: int, largest: int = 100) -> ExitRoom:
    """An exit of a bracket whose entry filled as much as it ``opens``."""
    entry = Opened(D(opens), D(opens), D(largest), short=opens < largest)
    return ExitRoom(D(quantity), D(reduced), entry, D(beside))


def test_an_exit_follows_what_is_filled_beside_it_and_what_is_taken_back() -> None:
    whole = room(100, 0, 100, 0)
    assert (whole.due, whole.fitted) == (0, whole)
    crossed = room(100, 0, 100, 40)
    assert (crossed.due, crossed.explained) == (40, 60)
    assert crossed.fitted == crossed.reduced_to(D(60)) == room(60, 40, 100, 40)
    assert crossed.fitted.due == 0
    busted = room(60, 40, 100, 0)
    assert (busted.due, busted.fitted) == (-40, room(100, 0, 100, 0))


def test_an_exit_fits_what_its_entry_opened() -> None:
    short = room(100, 0, 70, 20)
    assert (short.not_opened, short.due, short.fitted.quantity) == (30, 50, 50)
    # For less than its entry it lacks nothing while that may be open, for more it keeps the rest.
    assert room(60, 0, 70, 0).due == 0
    late = attrs.evolve(room(10, 90, 100, 20), entry=Opened(D(100), D(50), D(100)))
    assert (late.due, late.at_least) == (-70, 30)
    assert late.fitted == attrs.evolve(late, quantity=D(30), reduced=D(70))
    assert room(150, 0, 70, 0).fitted.quantity == 120


def test_what_an_entry_that_ended_short_opened_explains_an_exit_that_was_for_more() -> None:
    larger = room(150, 0, 70, 20)
    assert larger.explained == 100
    assert larger.explains(D(50), filled=D(0))
    assert not larger.explains(D(50), filled=D(50)), "a rest of nothing is an end"
    assert not larger.explains(D(51), filled=D(0))
    assert not room(150, 0, 100, 20).explains(D(80), filled=D(0))


def test_a_quantity_that_is_asked_for_by_its_number_has_nothing_due() -> None:
    for beside, opens, asked in ((40, 100, 60), (0, 70, 100), (20, 70, 60), (20, 70, 150)):
        assert room(100, 0, opens, beside).asked_for(D(asked)).due == 0
    assert room(100, 0, 70, 20).asked_for(D(50)).reduced == 20, "a late fill brings nothing back"


def test_an_exit_for_less_than_its_entry_comes_back_to_no_more_than_it_was_asked_for() -> None:
    smaller = room(60, 0, 100, 40)
    spared = smaller.fitted
    assert (spared.quantity, spared.reduced, spared.asked, spared.due) == (60, 40, 60, 0)
    again = attrs.evolve(spared, filled_beside=D(50))
    assert (again.due, again.explained) == (10, 50)
    again = again.reduced_to(D(50))
    for beside, reduced in ((10, 10), (40, 40)):
        busted = attrs.evolve(again, filled_beside=D(beside)).fitted
        assert (busted.quantity, busted.reduced, busted.due) == (60, reduced, 0)
    ended = attrs.evolve(again, entry=Opened(D(80), D(80), D(100), short=True))
    assert ended.fitted.quantity == 30, "what is not open comes off it all the same"
    assert again.asked_for(D(45)).asked == 0
    half = room(80, 0, 100, 40).reduced_to(D(60))
    assert (half.reduced, half.asked, half.due) == (40, 80, 0)


def test_an_entry_that_filled_all_that_it_was_made_smaller_to_did_not_end_short() -> None:
    entry = LiveOrder(buy("entry", 80), "", "", state=OrderState.FILLED, largest=D(100))
    entry.reported = D(80)
    opened = Opened.by(entry)
    assert (opened.at_most, opened.largest, opened.short) == (80, 100, False)
    larger = ExitRoom(D(150), entry=opened)
    assert not larger.explains(D(80), filled=D(0)), "a person made it smaller"


def test_an_entry_may_have_opened_more_than_it_is_for_now() -> None:
    entry = LiveOrder(buy("entry", 80), "", "", state=OrderState.PARTIALLY_FILLED)
    entry.reported = D(90)
    assert may_open(entry) == Opened.by(entry).at_most == 90


def test_an_order_of_no_bracket_has_nothing_due() -> None:
    alone = ExitRoom(D(100), D(0))
    assert (alone.due, alone.fitted, alone.asked_for(D(150)).reduced) == (0, alone, 0)


@given(rooms())
def test_an_exit_is_made_no_larger_than_what_is_open_and_no_smaller_than_what_may_be(
    found: ExitRoom,
) -> None:
    fitted = found.fitted
    assert fitted.quantity <= max(found.quantity, found.at_least)
    assert fitted.quantity <= (fitted.asked or fitted.full)
    assert fitted.quantity >= min(found.quantity, found.at_most)
    assert fitted.quantity >= min(found.quantity, found.explained)


@given(rooms(), amounts)
def test_what_a_broker_is_heard_to_take_off_is_not_due_any_more(
    found: ExitRoom, told: Decimal
) -> None:
    if found.explains(told, D(0)):
        left = found.reduced_to(told)
        assert left.quantity == told
        assert left.due <= max(found.due, D(0))
