"""The failure museum: what went wrong for others, played against the whole order path.

Each exhibit runs a real runtime, the real adapter and the real client library against the
simulated gateway in virtual time. :data:`BREAKS` names for each the bug that it is there for, and
a test plants it: an exhibit that nothing can break guards nothing.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from alluse_sim.checker import exposure
from museum_plants import PLANTS
from museum_stage import CLIENT, FAR, Exhibit, Stage, market, play, resting, until

from alluse_core.errors import CommandRejected, OrderDenied
from alluse_core.model import LinkState
from alluse_core.orders.background import Background
from alluse_core.orders.states import CommandState

both = pytest.mark.parametrize("library", ["ib_insync", "ib_async"])

ORDER_WORDS = [3, 4, 5, 11]
"""orderStatus, errors, openOrder, execDetails."""

END_MARKS = [53, 55, 102]
"""The ends of the lists of open orders, executions and completed orders."""


# --- 1 ------------------------------------------------------------------------------------------


async def rolled_back_ids(stage: Stage) -> None:
    """A restarted gateway counts its order ids from the beginning again."""
    async with stage.process() as runtime:
        for number in range(5):
            await runtime.orders.submit(resting(f"before/{number}"))
        await stage.agreed(runtime)
        stage.control.next_order_id(CLIENT, 1)
        stage.control.drop(abort=True)
        await until(lambda: runtime.brokers["main"].link is not LinkState.UP, lambda: "no loss")
        await stage.restored(runtime)
        await runtime.orders.submit(market("between"))
        await stage.agreed(runtime)
    stage.control.next_order_id(CLIENT, 1)
    async with stage.process() as runtime:
        for number in range(5):
            await runtime.orders.submit(resting(f"after/{number}"))
        await stage.agreed(runtime)
        ids = [entry["order_id"] for entry in stage.ledger.of("place")]
        assert len(set(ids)) == len(ids) == 11


@both
def test_01_ids_that_roll_back_are_not_used_again(library: str) -> None:
    """Lean.IB #242: restart rolls nextValidId 38103 -> 38099, ids reissued, cross-attributed."""
    play(rolled_back_ids, library)


# --- 2 ------------------------------------------------------------------------------------------


async def fills_during_an_outage(stage: Stage) -> None:
    """An order fills between 1100 and 1102, and nothing is ever told of it unasked."""
    async with stage.process() as runtime:
        price = Decimal(stage.world.prices[stage.aapl] - 20) / 100
        ticket = await runtime.orders.submit(resting("rests", 10, str(price)))
        await stage.agreed(runtime)
        stage.control.broadcast(1100)
        await until(lambda: runtime.brokers["main"].link is LinkState.DEGRADED, lambda: "no gate")
        stage.world.show(stage.aapl, -60)
        await asyncio.sleep(0.2)
        stage.control.mute(ORDER_WORDS)
        stage.control.broadcast(1102)
        await asyncio.sleep(1)
        assert stage.ledger.of("fill")
        assert ticket.known.filled == 0, "somebody told of it unasked"
        stage.control.mute([])
        # The notice itself is an error message; the client hears of the end by another one.
        stage.control.broadcast(1102)
        await stage.agreed(runtime)
        assert ticket.known.filled == 10
        assert runtime.positions().rows[0].quantity == 10


@both
def test_02_fills_of_an_outage_are_asked_for_afterwards(library: str) -> None:
    """Lean.IB #249: fills during 1100 never asked for again."""
    play(fills_during_an_outage, library)


# --- 3 ------------------------------------------------------------------------------------------


async def silence_again_and_again(stage: Stage) -> None:
    """The gateway falls silent without closing, three times, and is away in between."""
    async with stage.process() as runtime:
        broker = runtime.brokers["main"]
        for turn in range(3):
            began = stage.clock.monotonic()
            stage.control.half_open()
            await until(
                lambda: broker.link in (LinkState.DOWN, LinkState.CONNECTING),
                lambda: "nobody noticed the silence",
            )
            # Two heartbeats of half a second, and the turn of the loop that notices.
            assert stage.clock.monotonic() - began < 1.1
            await stage.control.pause_listening()
            stage.world.let_go()
            await asyncio.sleep(2)
            await stage.control.resume_listening()
            await stage.restored(runtime)
            await runtime.orders.submit(market(f"turn/{turn}"))
            await stage.agreed(runtime)


@both
def test_03_the_heartbeat_outlives_each_disconnection(library: str) -> None:
    """Lean.IB #246, #247: the heartbeat disabled by the disconnection itself."""
    play(silence_again_and_again, library)


# --- 4 ------------------------------------------------------------------------------------------


async def one_order_under_two_permids(stage: Stage) -> None:
    """A change during 1100 leaves the old order alive beside the new one."""
    async with stage.process() as runtime:
        ticket = await runtime.orders.submit(resting("doubled"))
        await stage.agreed(runtime)
        stage.control.split_modifies()
        await stage.modify(runtime, "doubled", limit_price="51")
        await until(lambda: bool(stage.ledger.of("split")), lambda: "no second order")
        (split,) = stage.ledger.of("split")
        twins = (split["old_perm_id"], split["perm_id"])
        await until(
            lambda: set(ticket._live.perm_ids) == set(twins),
            lambda: f"known are {ticket._live.perm_ids}, at the broker {twins}",
        )
        assert stage.counted(runtime, "second_perm_ids") == 1
        # One cancel for each of them; by its number the broker finds only the newer one.
        await runtime.orders.cancel("doubled")
        await until(lambda: len(stage.ledger.of("cancel")) >= 2, lambda: "one cancel for two")
        await asyncio.sleep(5)
        alive = [each.perm_id for each in stage.world.desks.orders.book if each.alive]
        assert alive == [split["old_perm_id"]]
        # Exposure holds what lives, whatever was said of its twin.
        assert ticket.state.value == "ACCEPTED", ticket.known
        # The survivor fills, hours later.
        stage.world.show(stage.aapl, -6_000)
        await until(lambda: ticket.known.filled == 10, lambda: f"{ticket.known}")
        assert runtime.positions().rows[0].quantity == 10


@both
def test_04_both_orders_that_a_change_left_are_known_and_cancelled(library: str) -> None:
    """nautilus #4564: a modify during link loss leaves two live permIds; one fills hours later."""
    play(one_order_under_two_permids, library)


async def a_cap_beside_two_permids(stage: Stage) -> None:
    """Both of the two may fill: what is sent beside them must leave room for both."""
    async with stage.process(stages={"position_cap": {"limit": 25}}, orders=CAPPED) as runtime:
        await runtime.orders.submit(resting("doubled"))
        await stage.agreed(runtime)
        stage.control.split_modifies()
        await stage.modify(runtime, "doubled", limit_price="51")
        await until(lambda: "lives twice" in runtime.orders.reason, lambda: "nobody was called")
        await runtime.orders.resume("museum")
        assert await stage.denies(runtime, resting("too much"))
        assert not await stage.denies(runtime, resting("what is left", 5))
        # The change itself reaches only one of the two.
        with pytest.raises(OrderDenied):
            await stage.modify(runtime, "doubled", quantity=15)
        stage.world.show(stage.aapl, -6_000)
        await until(
            lambda: sum(row.quantity for row in runtime.positions().rows) == 25,
            lambda: f"{runtime.positions().rows}",
        )
        ticket = runtime.orders.get("doubled")
        assert (ticket.known.filled, ticket.known.settled) == (20, True)
        assert not exposure(list(stage.ledger), Decimal(25))


@both
def test_04_a_limit_counts_both_orders_that_a_change_left(library: str) -> None:
    """The same: exposure that counts the order once lets the limit be passed when both fill."""
    play(a_cap_beside_two_permids, library)


# --- 5 ------------------------------------------------------------------------------------------


async def questions_that_fail_for_minutes(stage: Stage) -> None:
    """The broker has the order and answers nothing about it, however often it is asked."""
    async with stage.process() as runtime:
        stage.control.mute([*ORDER_WORDS, *END_MARKS])
        ticket = await runtime.orders.submit(resting("unheard"))
        await asyncio.sleep(120)
        assert stage.counted(runtime, "reconcile_failures", broker="main") >= 5
        assert ticket.state.value in ("SUBMITTED", "UNKNOWN")
        assert not ticket.known.settled
        stage.control.mute([])
        await stage.known(runtime, "unheard", "ACCEPTED")
        await stage.agreed(runtime)
        assert len(stage.placed()) == 1


@both
def test_05_however_many_tries_fail_only_the_venue_rejects(library: str) -> None:
    """nautilus #4152, PR #5013: exhaustion of retries becomes REJECTED without the venue's word."""
    play(questions_that_fail_for_minutes, library)


# --- 6 ------------------------------------------------------------------------------------------


async def a_retry_after_the_accept(stage: Stage) -> None:
    """The accept is lost with the link, and the agent, a new process too, tries again."""
    async with stage.process() as runtime:
        stage.control.mute(ORDER_WORDS)
        ticket = await runtime.orders.submit(resting("again"))
        await until(lambda: len(stage.placed()) == 1, lambda: "it never arrived")
        stage.control.drop(CLIENT, abort=True)
        assert await runtime.orders.submit(resting("again")) == ticket
        stage.control.mute([])
        await runtime.orders.submit(resting("again"))
        await stage.agreed(runtime)
    async with stage.process() as runtime:
        await runtime.orders.submit(resting("again"))
        await stage.agreed(runtime)
        assert len(stage.ledger.of("place")) == 1


async def a_cancel_that_says_nothing(stage: Stage) -> None:
    """The answer to a cancel is lost, and the order that would be its successor is sent."""
    async with stage.process(stages={"position_cap": {"limit": 10}}, orders=CAPPED) as runtime:
        ticket = await runtime.orders.submit(resting("first"))
        await stage.agreed(runtime)
        stage.control.mute(ORDER_WORDS)
        await runtime.orders.cancel("first")
        await until(lambda: bool(stage.ledger.of("canceled")), lambda: "it was not cancelled")
        # It is live until the broker says otherwise: its successor could double the position.
        assert ticket.state.value == "ACCEPTED"
        assert await stage.denies(runtime, resting("second"))
        stage.control.mute([])
        await stage.known(runtime, "first", "CANCELED")
        await stage.restored(runtime)
        await runtime.orders.submit(resting("third"))
        await stage.agreed(runtime)


CAPPED = {"stages": ["position_cap"]}


@both
def test_06_a_retry_after_a_lost_accept_makes_no_second_order(library: str) -> None:
    """nautilus #4215: a retry after the accept."""
    play(a_retry_after_the_accept, library)


@both
def test_06_a_cancel_without_its_answer_frees_no_room(library: str) -> None:
    """nautilus #4288: phantom cancel, silent double exposure."""
    play(a_cancel_that_says_nothing, library)


# --- 7 ------------------------------------------------------------------------------------------


async def a_preset_changes_an_order(stage: Stage) -> None:
    """TWS changes the time in force and says 10349: the order lives, and differs."""
    async with stage.process() as runtime:
        stage.control.preset("DAY")
        ticket = await runtime.orders.submit(resting("preset"))
        await stage.known(runtime, "preset", "ACCEPTED")
        await asyncio.sleep(2)
        assert ticket.state.value == "ACCEPTED"
        assert any("10349" in word for word in ticket.known.evidence)
        assert stage.counted(runtime, "echo_differences") >= 1
        await stage.agreed(runtime)


async def a_change_is_refused(stage: Stage) -> None:
    """A modify is refused with 321; the order works on with its old terms, and fills."""
    async with stage.process() as runtime:
        ticket = await runtime.orders.submit(resting("kept"))
        await stage.agreed(runtime)
        stage.control.read_only(True)
        command = await stage.modify(runtime, "kept", limit_price="51")
        with pytest.raises(CommandRejected, match="321"):
            await command.outcome(5)
        assert ticket.state.value == "ACCEPTED"
        assert ticket.order.limit_price == Decimal(FAR)
        stage.control.read_only(False)
        stage.world.show(stage.aapl, -6_000)
        await stage.known(runtime, "kept", "FILLED")
        await stage.agreed(runtime)


async def a_fill_after_the_cancel(stage: Stage) -> None:
    """Part of an order fills, that is not told, and then it is cancelled."""
    async with stage.process() as runtime:
        stage.control.partial_fills(1, "0.4")
        stage.control.mute([11, 3])
        ask = str(Decimal(stage.world.prices[stage.aapl] + 2) / 100)
        ticket = await runtime.orders.submit(resting("late", 10, ask))
        await until(lambda: bool(stage.ledger.of("fill")), lambda: "nothing filled")
        stage.control.mute([11])
        await runtime.orders.cancel("late")
        await stage.known(runtime, "late", "CANCELED")
        assert ticket.known.filled == 4 or not ticket.known.settled
        stage.control.mute([])
        await runtime.orders.reconcile("main")
        await stage.agreed(runtime)
        assert (ticket.state.value, ticket.known.filled) == ("CANCELED", 4)


async def a_change_that_is_not_echoed(stage: Stage) -> None:
    """After hours a modify takes at the exchange and its echo does not come."""
    async with stage.process() as runtime:
        ticket = await runtime.orders.submit(resting("silent"))
        await stage.agreed(runtime)
        stage.control.silent_modifies()
        command = await stage.modify(runtime, "silent", limit_price="51")
        await until(lambda: bool(stage.ledger.of("replaced")), lambda: "it was not changed")
        # Nobody has said so: neither the new price nor the old one may be told as certain.
        assert ticket.order.limit_price == Decimal(FAR)
        assert command.state is not CommandState.CONFIRMED
        stage.world.show(stage.aapl, -6_000)
        await stage.known(runtime, "silent", "FILLED")
        await stage.agreed(runtime)


@both
@pytest.mark.parametrize(
    "exhibit", [a_preset_changes_an_order, a_change_is_refused], ids=["10349", "321"]
)
def test_07_a_remark_or_a_refused_change_cancels_no_order(library: str, exhibit: Exhibit) -> None:
    """ib_insync #502, pysystemtrade #1580: a rejected modify, or 10349, shown as Cancelled."""
    play(exhibit, library)


@both
def test_07_a_fill_that_comes_after_the_cancel_counts(library: str) -> None:
    """pysystemtrade #1580: a fill after cancel."""
    play(a_fill_after_the_cancel, library)


@both
def test_07_a_change_without_its_echo_is_not_taken_for_done(library: str) -> None:
    """ib_insync #501: an after-hours modify that does not echo its price."""
    play(a_change_that_is_not_echoed, library)


# --- 8 ------------------------------------------------------------------------------------------


async def six_orders_given_up(stage: Stage) -> None:
    """Six buys are left out of every list for a while, and then execute."""
    async with stage.process(stages={"position_cap": {"limit": 60}}, orders=CAPPED) as runtime:
        stage.control.mute(ORDER_WORDS)
        keys = [f"dead/{number}" for number in range(6)]
        for key in keys:
            await runtime.orders.submit(resting(key))
        for key in keys:
            await stage.known(runtime, key, "UNKNOWN")
        # All six count in full: there is room for no seventh.
        assert await stage.denies(runtime, resting("dead/6"))
        stage.world.show(stage.aapl, -6_000)
        await until(lambda: len(stage.ledger.of("fill")) == 6, lambda: "they did not execute")
        stage.control.mute([])
        await runtime.orders.reconcile("main")
        for key in keys:
            await stage.known(runtime, key, "FILLED")
        await stage.agreed(runtime)
        assert runtime.positions().rows[0].quantity == 60


@both
def test_08_orders_that_nobody_lists_count_until_they_execute(library: str) -> None:
    """hummingbot #3374: six "dead" untracked buy orders executed."""
    play(six_orders_given_up, library)


# --- 9 ------------------------------------------------------------------------------------------


async def a_cancel_that_finds_nothing(stage: Stage) -> None:
    """The order is lost on its way, and the broker answers its cancel with 10147."""
    async with stage.process() as runtime:
        stage.control.half_open(CLIENT)
        ticket = await runtime.orders.submit(resting("lost"))
        await asyncio.sleep(0.2)
        stage.world.let_go()
        await stage.known(runtime, "lost", "UNKNOWN")
        await stage.restored(runtime)
        cancel = await runtime.orders.cancel("lost")
        assert await cancel.outcome(10) is CommandState.LOST
        assert any("10147" in word for word in ticket.known.evidence)
        assert ticket.state.value == "UNKNOWN"
        assert await runtime.orders.submit(resting("lost")) == ticket
        assert not stage.ledger.of("place")


@both
def test_09_a_cancel_answered_by_10147_ends_neither_order_nor_wait(library: str) -> None:
    """Lean.IB #248: 10147 unhandled, "timeout waiting for brokerage"."""
    play(a_cancel_that_finds_nothing, library)


# --- 10 -----------------------------------------------------------------------------------------


async def lists_without_an_end(stage: Stage) -> None:
    """A process starts anew, and the broker's lists never end: that is no empty account."""
    async with stage.process() as runtime:
        await runtime.orders.submit(market("held"))
        await runtime.orders.submit(resting("works"))
        await stage.agreed(runtime)
    stage.control.mute([5, 11, 61, 62, 101, *END_MARKS])
    async with stage.process() as runtime:
        works = runtime.orders.get("works")
        await asyncio.sleep(20)
        assert runtime.orders.reconciling, "new risk was let through on no evidence"
        assert not works.known.settled
        assert works.state.value in ("ACCEPTED", "SUBMITTED")
        assert not runtime.positions().complete, "nobody has told what is held"
        stage.control.mute([])
        await stage.restored(runtime)
        await stage.agreed(runtime)
        assert works.state.value == "ACCEPTED"
        assert runtime.positions().complete


@both
def test_10_a_question_that_fails_is_no_empty_answer(library: str) -> None:
    """ib_async #84, nautilus PR #4230: unknown returned as empty."""
    play(lists_without_an_end, library)


# --- 11 -----------------------------------------------------------------------------------------


async def a_cut_amid_120_orders(stage: Stage) -> None:
    """The socket is cut inside a frame while 120 orders are on their way."""
    stage.network.cuts = [12_000]
    async with stage.process() as runtime:
        stage.control.pacing(0)
        orders = [market(f"burst/{number}", 1) for number in range(120)]
        await asyncio.gather(*(runtime.orders.submit(order) for order in orders))
        await until(lambda: bool(stage.ledger.of("disconnect")), lambda: "the socket was not cut")
        await stage.agreed(runtime)
        states = [runtime.orders.get(order.key).state.value for order in orders]
        assert states.count("FILLED") == len(stage.placed())
        # One frame was cut in two: that order may have arrived. All others are told for certain.
        assert states.count("UNKNOWN") <= 1
        assert set(states) <= {"FILLED", "CANCELED", "UNKNOWN"}
        assert states.count("FILLED") > 0


@both
def test_11_of_120_orders_around_a_cut_none_is_lost_in_silence(library: str) -> None:
    """The 76 of 120: a cut socket drops the client's own queue."""
    play(a_cut_amid_120_orders, library)


# --- 12 -----------------------------------------------------------------------------------------


async def a_farm_flaps_and_an_id_is_taken(stage: Stage) -> None:
    """A market data farm comes and goes; later the client id is still in use for a moment."""
    async with stage.process() as runtime:
        broker = runtime.brokers["main"]
        ticket = await runtime.orders.submit(resting("rests"))
        await stage.agreed(runtime)
        connections = len(stage.ledger.of("connect"))
        for flap in range(5):
            stage.control.broadcast(2103)
            await asyncio.sleep(0.3)
            assert broker.link is LinkState.UP
            await runtime.orders.submit(market(f"flap/{flap}"))
            stage.control.broadcast(2104)
            await asyncio.sleep(0.3)
        await stage.agreed(runtime)
        assert len(stage.ledger.of("connect")) == connections
        assert ticket.state.value == "ACCEPTED"
        stage.control.refuse_id(CLIENT, 3)
        stage.control.drop(CLIENT, abort=True)
        await until(lambda: broker.link is not LinkState.UP, lambda: "no loss")
        await stage.restored(runtime)
        await runtime.orders.submit(market("afterwards"))
        await stage.agreed(runtime)
        # Only the id that placed an order may cancel it.
        assert {entry["client_id"] for entry in stage.ledger.of("place")} == {CLIENT}
        await (await runtime.orders.cancel("rests")).outcome(10)
        assert ticket.state.value == "CANCELED"
        assert not runtime.orders.reason, "nobody need be called for what passes"


@both
def test_12_a_farm_flap_and_326_are_borne_calmly(library: str) -> None:
    """nautilus PR #4412, #4210: over-reaction to a farm flap and to 326."""
    play(a_farm_flaps_and_an_id_is_taken, library)


# --- each can fail ------------------------------------------------------------------------------

BREAKS: tuple[tuple[Exhibit, str], ...] = (
    (rolled_back_ids, "no-id-floor"),
    (fills_during_an_outage, "no-executions"),
    (silence_again_and_again, "heartbeat-ends-with-the-link"),
    (one_order_under_two_permids, "one-permid"),
    (a_cap_beside_two_permids, "twins-count-once"),
    (questions_that_fail_for_minutes, "give-up-is-a-reject"),
    (a_retry_after_the_accept, "resend-on-reconnect"),
    (a_retry_after_the_accept, "key-taken-twice"),
    (a_cancel_that_says_nothing, "cancel-at-once"),
    (a_preset_changes_an_order, "error-is-the-end"),
    (a_change_is_refused, "command-reject-is-order-reject"),
    (a_fill_after_the_cancel, "no-late-fills"),
    (a_change_that_is_not_echoed, "change-at-once"),
    (six_orders_given_up, "absent-is-cancelled"),
    (six_orders_given_up, "unknown-is-nothing"),
    (a_cancel_that_finds_nothing, "error-is-the-end"),
    (lists_without_an_end, "a-failure-is-empty"),
    (a_cut_amid_120_orders, "queue-of-the-library"),
    (a_farm_flaps_and_an_id_is_taken, "reconnect-on-a-flap"),
    (a_farm_flaps_and_an_id_is_taken, "move-on-326"),
)
"""Which bug breaks which exhibit: of alluse_sim.planted, or of museum_plants."""


@pytest.mark.parametrize(
    ("exhibit", "bug"), BREAKS, ids=[f"{exhibit.__name__}-{bug}" for exhibit, bug in BREAKS]
)
def test_an_exhibit_fails_where_its_bug_is_planted(
    exhibit: Exhibit, bug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[BaseException] = []
    failed = Background.failed

    def noted(self: Background, part: str, error: BaseException) -> None:
        raised.append(error)
        failed(self, part, error)

    monkeypatch.setattr(Background, "failed", noted)
    # A denial, a refused command or a wrong belief: each is the failure that was planted.
    with PLANTS[bug](), pytest.raises(Exception) as caught:
        play(exhibit, "ib_insync")
    # A plant that fails itself, in the background too, shows nothing.
    wrong = (TypeError, AttributeError, NameError, KeyError)
    assert [each for each in (caught.value, *raised) if isinstance(each, wrong)] == []
