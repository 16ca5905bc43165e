"""The same story gives the same order; the broker's words in another order, or twice, as well."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
from desk_floor import AAPL, buy, floor, run
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from alluse_core.model import (
    BrokerStatus,
    Commission,
    Evidence,
    Execution,
    OrderIdentity,
    OrderReport,
    OrderState,
    Side,
)
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.recovery import rebuild

_START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
_QUANTITY = 100
# What a start does not bring back: times of this process, and words that only people read.
_OF_THIS_PROCESS = frozenset(
    {"waiters", "observers", "listing", "words", "unsent", "paced", "held", "differences"}
    | {
        "submitted_at",
        "sent_at",
        "acked_at",
        "evidence_at",
        "ended_at",
        "cancelled",
        "reported",
        "told_rest",
        "counted",
        "commands",
        "due",
        "due_at",
        "due_asked_at",
        "surplus",
    }
)


@st.composite
def words(draw: st.DrawFn) -> list[tuple[int, Any]]:
    """Draw what a broker says of one order: parts filled, statuses beside them, an end."""
    parts = draw(st.lists(st.integers(1, 40), max_size=4))
    while sum(parts) > _QUANTITY:
        parts.pop()
    ended = draw(st.booleans())
    said: list[tuple[int, Any]] = [(0, "working")]
    filled = 0
    for number, part in enumerate(parts, 1):
        filled += part
        said += [(number, "fill"), (filled, "status"), (number, "commission")]
        said[-3] = (number * 1_000 + part, "fill")
    if ended:
        said.append((filled, "filled" if filled == _QUANTITY else "cancel"))
    return said


def _evidence(word: tuple[int, Any], identity: OrderIdentity) -> Evidence:
    number, what = word
    if what == "fill":
        serial, part = divmod(number, 1_000)
        moment = _START + timedelta(seconds=serial)
        place = (AAPL, Side.BUY, Decimal(part), Decimal(100), moment)
        return Execution("fake", identity, f"0000000{serial}.01", "DU1", *place)
    if what == "commission":
        return Commission("fake", f"0000000{number}.01", Decimal(1), "USD", None)
    status = {
        "working": BrokerStatus.WORKING,
        "status": BrokerStatus.WORKING,
        "cancel": BrokerStatus.CANCELED,
        "filled": BrokerStatus.FILLED,
    }[what]
    filled = Decimal(number)
    return OrderReport("fake", identity, status, filled, Decimal(_QUANTITY) - filled)


def _lasting(live: LiveOrder) -> dict[str, Any]:
    return {
        field.name: getattr(live, field.name)
        for field in attrs.fields(LiveOrder)
        if field.name not in _OF_THIS_PROCESS
    }


def _told(folder: Path, said: list[tuple[int, Any]]) -> LiveOrder:
    """Return the order after the broker said all this of it; also check its rebuilt self."""
    found: list[LiveOrder] = []

    async def scenario() -> None:
        async with floor(folder) as desk:
            desk.broker.mode = "silent"
            await desk.orders.submit(buy("one", _QUANTITY))
            await desk.settle()
            live = desk.orders._book.get("one")
            assert live is not None
            identity = attrs.evolve(live.identities()[0], perm_id=9_001)
            for word in said:
                desk.broker.say(_evidence(word, identity))
            await desk.settle()
            found.append(live)
            with JournalReader(folder / "journal.db") as reader:
                story = reader.story("one")
            first, again = rebuild(story), rebuild(list(story))
            assert first is not None
            assert again is not None
            assert _lasting(first) == _lasting(again)
            assert _lasting(first) == _lasting(live)

    run(scenario())
    return found[0]


def _verdict(live: LiveOrder) -> tuple[object, ...]:
    return live.state, live.executed, live.filled, live.perm_ids, sorted(live.fills)


_EXAMPLES = settings(
    max_examples=int(os.environ.get("ALLUSE_REPLAYS", "20")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_EXAMPLES
@given(said=words())
@example(said=[(0, "working"), (0, "cancel")])  # its permId has ended, after a restart as before
def test_a_story_is_rebuilt_to_the_order_that_it_tells_of(
    said: list[tuple[int, Any]], tmp_path_factory: Any, ran: Callable[[int], None]
) -> None:
    live = _told(tmp_path_factory.mktemp("story"), said)
    assert live.executed == sum(number % 1_000 for number, what in said if what == "fill")
    ran(1)


@_EXAMPLES
@given(data=st.data(), said=words())
def test_words_that_come_twice_or_in_another_order_end_in_the_same_state(
    data: st.DataObject,
    said: list[tuple[int, Any]],
    tmp_path_factory: Any,
    ran: Callable[[int], None],
) -> None:
    straight = _told(tmp_path_factory.mktemp("straight"), said)
    twice = said + data.draw(st.lists(st.sampled_from(said), max_size=4))
    shuffled = data.draw(st.permutations(twice))
    mixed = _told(tmp_path_factory.mktemp("mixed"), list(shuffled))
    assert _verdict(mixed) == _verdict(straight)
    assert mixed.state is not OrderState.UNKNOWN
    ran(1)
