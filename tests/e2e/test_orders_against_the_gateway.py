"""No order is lost or sent twice: sessions with faults, compared with the gateway's own ledger.

``ALLUSE_SESSIONS=300`` runs that many seeds, ``ALLUSE_SEED=7`` that one only.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from order_sessions import (
    AAPL,
    CLIENT,
    Result,
    Venue,
    babble,
    cut,
    half_open,
    let_go,
    mute_fills,
    outage,
    roll_back,
    session,
    sessions,
    settings,
)

import alluse_core
from alluse_core import Order, Side
from alluse_core.model import BrokerNotice, OrderState
from alluse_core.orders.evidence import Applier
from alluse_core.orders.ids import IdSequence
from alluse_core.orders.lanes import Dispatch
from alluse_core.orders.reconcile import Reconciler
from alluse_core.orders.service import Orders
from alluse_core.orders.states import CommandState, Event
from alluse_core.ports import Priority

SEEDS = tuple(range(1, int(os.environ.get("ALLUSE_SESSIONS", "12")) + 1))
if "ALLUSE_SEED" in os.environ:
    SEEDS = (int(os.environ["ALLUSE_SEED"]),)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Result]:
    return asyncio.run(sessions(SEEDS, tmp_path_factory.mktemp("sessions")))


@pytest.mark.slow
@pytest.mark.timeout(60 + 5 * len(SEEDS))
@pytest.mark.parametrize("seed", SEEDS)
def test_belief_and_journal_equal_the_ledger_after_faults(
    results: dict[int, Result], seed: int
) -> None:
    result = results[seed]
    assert not result.problems, f"reproduce with ALLUSE_SEED={seed}\n{result}"
    assert result.sent, "a session in which nothing was sent shows nothing"


# --- planted bugs: the checker can fail ----------------------------------------------------------


def resend_on_reconnect(patch: pytest.MonkeyPatch) -> None:
    take = Orders._link

    def link(self: Orders, report: Any) -> None:
        take(self, report)
        if report.state == "up" and self._started:
            for live in self._book.live(report.broker):
                live.unsent = True
                self._outboxes[report.broker].put(Priority.ORDER, Dispatch((live,)))

    patch.setattr(Orders, "_link", link)


def count_every_report_of_a_fill(patch: pytest.MonkeyPatch) -> None:
    take, serial = Applier._fill, iter(range(10**9))

    def fill(self: Applier, live: Any, execution: Any, base: str, source: str) -> None:
        take(self, live, execution, f"{base}/{next(serial)}", source)

    patch.setattr(Applier, "_fill", fill)


def ignore_the_journal_on_restart(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Orders, "_recover", lambda self: None)
    patch.setattr(Orders, "_restore_reference", lambda self, reference: None)


def use_ids_again(patch: pytest.MonkeyPatch) -> None:
    def take(self: IdSequence, count: int) -> int:
        self._next = self._next % 12 + count
        return self._next

    patch.setattr(IdSequence, "take", take)


def take_an_absent_order_for_cancelled(patch: pytest.MonkeyPatch) -> None:
    happen = Applier.happen

    def lose(self: Applier, live: Any, event: Event, *rest: Any, **more: Any) -> None:
        happen(self, live, Event.CANCEL if event is Event.LOSE else event, *rest, **more)

    patch.setattr(Applier, "happen", lose)


def take_an_error_for_the_end(patch: pytest.MonkeyPatch) -> None:
    take = Orders._take

    def end(self: Orders, item: Any) -> None:
        take(self, item)
        if isinstance(item, BrokerNotice) and item.identity is not None:
            live = self._book.find(item.broker, item.identity)
            if live is not None and not live.state.is_terminal:
                self._applier.happen(live, Event.CANCEL, "notice", item.text)

    patch.setattr(Orders, "_take", end)


def ask_for_no_executions(patch: pytest.MonkeyPatch) -> None:
    apply = Reconciler._apply

    def without(self: Reconciler, answers: Any) -> Any:
        object.__setattr__(answers.executions, "rows", ())
        return apply(self, answers)

    patch.setattr(Reconciler, "_apply", without)


PLANTED: tuple[tuple[Callable[[pytest.MonkeyPatch], None], tuple[Any, ...], int, str], ...] = (
    (resend_on_reconnect, (cut, cut), 0, "sent twice"),
    (count_every_report_of_a_fill, (cut,), 0, "filled"),
    (ignore_the_journal_on_restart, (), 1, ""),
    (use_ids_again, (), 0, "was used for"),
    (take_an_absent_order_for_cancelled, (half_open, half_open), 0, "without the broker's word"),
    (take_an_error_for_the_end, (babble, babble), 0, ""),
    (ask_for_no_executions, (mute_fills, mute_fills), 0, "fills"),
)


@pytest.mark.slow
@pytest.mark.parametrize(("plant", "faults", "restarts", "said"), PLANTED)
def test_the_checker_catches_a_planted_bug(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    plant: Callable[[pytest.MonkeyPatch], None],
    faults: tuple[Any, ...],
    restarts: int,
    said: str,
) -> None:
    plant(monkeypatch)
    monkeypatch.setattr("order_sessions.HEALED_WITHIN", 4.0)
    result = asyncio.run(session(3, tmp_path, faults, restarts, 40))
    assert any(said in problem for problem in result.problems), result


@pytest.mark.slow
def test_a_session_with_an_id_rollback_uses_no_id_twice(tmp_path: Path) -> None:
    """Lean.IB #242: a restart rolls nextValidId 38103 -> 38099, and ids are issued again."""
    result = asyncio.run(session(8, tmp_path, (roll_back, roll_back), 1, 30))
    assert not result.problems, result


@pytest.mark.slow
def test_fills_during_1100_are_asked_for_and_counted(tmp_path: Path) -> None:
    """Lean.IB #249: fills during 1100 were never asked for again."""
    result = asyncio.run(session(9, tmp_path, (outage, outage, outage), 0, 30))
    assert not result.problems, result
    assert result.fills


@pytest.mark.slow
def test_a_cancel_that_the_broker_cannot_find_ends_neither_order_nor_wait(tmp_path: Path) -> None:
    """Lean.IB #248 (10147 unhandled) and nautilus #4288 (phantom cancel, double exposure)."""

    async def story() -> None:
        async with (
            Venue(1) as venue,
            alluse_core.open(settings(venue.port), state=tmp_path) as runtime,
        ):
            venue.control.half_open(CLIENT)
            order = Order.limit(AAPL, Side.BUY, 5, 50, key="lost")
            ticket = await runtime.orders.submit(order)
            await asyncio.sleep(0.2)
            let_go(venue)
            assert (await ticket.outcome(10)).state is OrderState.UNKNOWN
            while runtime.orders._gate.reconciling:
                await asyncio.sleep(0.05)
            cancel = await runtime.orders.cancel("lost")
            assert await cancel.outcome(10) is CommandState.LOST
            assert any("10147" in word for word in ticket.known.evidence)
            assert ticket.state is OrderState.UNKNOWN
            assert (await runtime.orders.submit(order)) == ticket
            assert not venue.ledger.of("place")

    asyncio.run(story())
