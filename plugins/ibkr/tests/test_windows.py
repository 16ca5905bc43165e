"""Reset windows by region, the terminal's own restart, and the weekly login."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alluse_ibkr.calendar import LOOK_EVERY, Calendar
from alluse_ibkr.settings import IbkrSettings
from alluse_ibkr.windows import REGIONS, inside, judge, parse_restart, windows_of
from ibkr_lab import LIBRARIES, Lab, connected, gateway, until

from alluse_core.errors import SettingsError
from alluse_core.model import LinkReport, LinkState
from alluse_core.telemetry import Registry
from alluse_core.testing import VirtualClock


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("region", "moment", "end"),
    [
        # 2026-01-06 is a Tuesday; New York is at -5 h, Zurich at +1 h, Hong Kong at +8 h.
        ("north-america", "2026-01-06 05:14", None),
        ("north-america", "2026-01-06 05:15", "2026-01-06 06:45"),
        ("north-america", "2026-01-06 06:45", None),
        # Daylight saving: New York is at -4 h.
        ("north-america", "2026-07-07 04:20", "2026-07-07 05:45"),
        # No nightly reset on Saturday, but the weekend's begins on Friday at 23:00 New York.
        ("north-america", "2026-01-10 05:30", "2026-01-10 08:00"),
        ("europe", "2026-01-06 05:30", "2026-01-06 06:45"),
        ("europe", "2026-07-07 04:30", "2026-07-07 05:45"),
        ("asia-pacific", "2026-01-05 21:00", "2026-01-05 22:05"),
        ("asia-pacific", "2026-01-06 12:30", "2026-01-06 13:15"),
        ("asia-pacific", "2026-01-06 14:00", None),
    ],
)
def test_the_published_window_of_a_region_holds_in_its_own_time(
    region: str, moment: str, end: str | None
) -> None:
    found = inside(REGIONS[region], at(moment))
    assert (found and found[1]) == (at(end) if end else None)


def test_the_restart_of_the_terminal_is_a_window_of_six_minutes() -> None:
    windows = (parse_restart("00:00 America/New_York"),)
    assert inside(windows, at("2026-01-06 04:58")) is None
    assert inside(windows, at("2026-01-06 04:59")) is not None
    assert inside(windows, at("2026-01-06 05:04")) is not None
    assert inside(windows, at("2026-01-06 05:05")) is None


@pytest.mark.parametrize("text", ["23:45", "25:00 America/New_York", "23:45 Mars/Olympus"])
def test_a_restart_time_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsError, match="such as '23:45 America/New_York'"):
        IbkrSettings(restart_at=text)


def test_a_region_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="north-america, europe, asia-pacific"):
        IbkrSettings(region="moon")


def test_no_region_gates_nothing() -> None:
    assert windows_of("", "") == ()
    assert inside((), at("2026-01-06 05:30")) is None


def test_an_outage_in_a_window_is_due_back_with_its_end_and_counts_down() -> None:
    windows = REGIONS["north-america"]
    found = judge(windows, at("2026-01-06 05:20"), at("2026-01-06 05:50"))
    assert found.due == at("2026-01-06 06:45")
    assert not found.overdue
    assert "due back within 55 min" in found.text
    late = judge(windows, at("2026-01-06 05:20"), at("2026-01-06 07:00"))
    assert late.overdue
    assert not late.login
    assert "down for 1 h 40 min in the nightly reset, overdue for 15 min 00 s" in late.text


def test_an_outage_at_any_other_time_is_overdue_after_the_minutes_of_a_restart() -> None:
    began = at("2026-01-06 15:00")
    assert not judge((), began, began + timedelta(minutes=4)).overdue
    assert judge((), began, began + timedelta(minutes=5)).overdue


@pytest.mark.parametrize(
    ("since", "login"),
    [
        # Sunday 2026-01-11: the tokens end at 01:00 New York, 06:00 UTC.
        ("2026-01-11 05:30", False),
        ("2026-01-11 06:10", True),
        ("2026-01-12 05:20", True),
        ("2026-01-13 05:20", False),
        ("2026-01-08 05:20", False),
    ],
)
def test_a_long_outage_after_sundays_end_of_the_tokens_is_the_weekly_login(
    since: str, login: bool
) -> None:
    began = at(since)
    found = judge(REGIONS["north-america"], began, began + timedelta(hours=4))
    assert found.login is login
    assert ("A person must log in" in found.text) is login
    assert not judge(REGIONS["north-america"], began, began + timedelta(minutes=1)).login


def test_a_countdown_is_said_first_then_loudly_and_ever_more_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        clock = VirtualClock()
        registry, gates = Registry(), []
        works = False
        calendar = Calendar("main", clock, (), registry, gates.append, lambda: works)
        for _ in range(int(3600 / LOOK_EVERY)):
            calendar.look()
            await clock.advance(LOOK_EVERY)

        def figure(name: str) -> float | None:
            samples = registry.collect(clock.monotonic())
            return next(each.value for each in samples if each.series.metric == name)

        assert (figure("outage_overdue_seconds") or 0) == pytest.approx(3300, abs=10)
        works = True
        calendar.look()
        assert figure("outage_overdue_seconds") == 0.0
        assert set(gates) == {""}

    with caplog.at_level(logging.WARNING):
        asyncio.run(story())
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert "due back within 5 min" in said[0][1]
    levels = [level for level, _ in said[:-1]]
    assert levels == sorted(levels, key=["WARNING", "ERROR"].index)
    assert 6 <= len(said) <= 14
    assert said[-1][1] == "main is back"


@pytest.mark.parametrize("library", LIBRARIES)
def test_new_risk_is_gated_in_the_window_and_allowed_after_it(library: str) -> None:
    class Wall(VirtualClock):
        moment = at("2026-01-06 05:14:58")

        def now(self) -> datetime:
            return self.moment

    async def story() -> None:
        clock: Any = Wall()
        async with gateway() as gate:
            lab = Lab(clock, port=gate.port, library=library, region="north-america")
            async with connected(lab) as broker:
                await until(lambda: broker.link is LinkState.UP, "the link")
                clock.moment = at("2026-01-06 05:15:01")
                await clock.advance(LOOK_EVERY)
                assert broker.link is LinkState.GATED
                assert lab.of(LinkReport)[-1].reason == "the nightly reset is until 06:45 UTC"
                assert broker._orders.ready, "what reduces risk still finds a socket"
                clock.moment = at("2026-01-06 06:45:00")
                await clock.advance(LOOK_EVERY)
                assert broker.link is LinkState.UP
                assert lab.of(LinkReport)[-1].state is LinkState.UP

    asyncio.run(story())


@pytest.mark.parametrize("library", LIBRARIES)
def test_in_the_window_a_link_that_comes_back_lets_waiting_cancels_go_and_stays_gated(
    library: str,
) -> None:
    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                broker._calendar.cancel()
                broker._order_desk.gate("the nightly reset")
                before = len(lab.of(LinkReport))
                gate.control.drop(17, abort=True)
                await until(lambda: len(lab.of(LinkReport)) >= before + 3, "down and up")
                states = [each.state for each in lab.of(LinkReport)[before:]]
                assert states == [LinkState.DOWN, LinkState.UP, LinkState.GATED]
                assert broker.link is LinkState.GATED

    asyncio.run(story())


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_uplink_that_stays_lost_is_an_outage_although_the_socket_is_up(library: str) -> None:
    """1100 for minutes outside the reset window is for a person."""

    async def story() -> None:
        clock = VirtualClock()
        async with gateway() as gate:
            lab = Lab(clock, port=gate.port, library=library, heartbeat=1e6, quiet=0.0)
            async with connected(lab) as broker:
                gate.control.broadcast(1100)
                await until(lambda: broker.link is LinkState.DEGRADED, "the gate")
                for _ in range(3):
                    await clock.advance(LOOK_EVERY)
                assert (lab.sample("outage_overdue_seconds") or 0) < 0
                for _ in range(70):
                    await clock.advance(LOOK_EVERY)
                assert (lab.sample("outage_overdue_seconds") or 0) > 0
                assert broker._orders.ready
                gate.control.broadcast(1102)
                await until(lambda: broker.link is LinkState.UP, "the end")
                await clock.advance(LOOK_EVERY)
                assert lab.sample("outage_overdue_seconds") == 0.0

    asyncio.run(story())


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_nightly_restart_is_survived_with_its_ids_rolled_back(library: str) -> None:
    """museum 1 and 2: 1100, sockets gone, minutes without a port, and lower ids at the end."""

    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library, data_spare=True)
            async with connected(lab) as broker:
                floor = broker.order_id_floor
                gate.control.broadcast(1100)
                await until(lambda: broker.link is LinkState.DEGRADED, "the gate")
                await gate.control.pause_listening()
                gate.control.drop(abort=True)
                await until(lambda: not any(each.ready for each in broker.connections), "the end")
                attempts = lab.sample("connection_attempts", role="orders") or 0
                await until(
                    lambda: (lab.sample("connection_attempts", role="orders") or 0) > attempts + 2,
                    "attempts while it is away",
                )
                gate.control.next_order_id(17, 1)
                gate.control.broadcast(1102)
                await gate.control.resume_listening()
                await until(lambda: broker.link is LinkState.UP, "the link")
                await until(lambda: all(each.ready for each in broker.connections), "all roles")
                assert broker.order_id_floor == floor
                assert lab.sample("connections_retired", role="orders") == 0

    asyncio.run(story())
