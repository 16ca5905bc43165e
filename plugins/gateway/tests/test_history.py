"""Historical data over TCP: every bar size, the past before the first event, errors, pacing."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from alluse_gateway.history_pacing import Asked, HistoryPacing
from alluse_gateway.history_terms import BAR_SIZES
from alluse_gateway.server import SimulatedGateway
from alluse_paper.synthetic import SyntheticMarket
from gateway_lab import (
    AAPL,
    LIBRARIES,
    START,
    RawClient,
    client,
    library,
    make_exchange,
    quote,
    run,
    trade,
    until,
)

OPENED = datetime(2026, 3, 4, 14, 30, tzinfo=UTC)


def gateway_of(**more: Any) -> SimulatedGateway:
    more.setdefault("history_pacing", False)
    return SimulatedGateway(market=SyntheticMarket(3, start=OPENED), speed=1.0, **more)


async def apple(ib: Any, name: str = "ib_insync") -> Any:
    (contract,) = await ib.qualifyContractsAsync(library(name).Stock("AAPL", "SMART", "USD"))
    return contract


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_year_of_daily_bars_ends_yesterday_and_today(name: str) -> None:
    async def story() -> None:
        async with gateway_of() as gateway, client(name, gateway) as ib:
            contract = await apple(ib, name)
            bars = await ib.reqHistoricalDataAsync(contract, "", "1 Y", "1 day", "TRADES", True)
            assert 250 <= len(bars) <= 253
            days = [bar.date for bar in bars]
            assert days == sorted(set(days))
            assert date(2025, 11, 27) not in days, "Thanksgiving"
            assert date(2026, 3, 3) in days
            for bar in bars:
                assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
                assert bar.low <= bar.average <= bar.high
                assert bar.volume > 0
            again = await ib.reqHistoricalDataAsync(
                contract, "20260228 00:00:00 UTC", "20 D", "1 day", "TRADES", True
            )
            assert len(again) == 20
            wanted = {(bar.date, bar.close, bar.volume) for bar in bars}
            assert {(bar.date, bar.close, bar.volume) for bar in again} <= wanted

    run(story)


@pytest.mark.parametrize("size", BAR_SIZES)
def test_every_bar_size_is_served_and_joins_to_the_same_day(size: str) -> None:
    async def story() -> None:
        async with gateway_of() as gateway, client("ib_insync", gateway) as ib:
            contract = await apple(ib)
            end = "20260303 21:00:00 UTC"
            length = "1800 S" if size == "1 secs" else "1 D"
            if size in ("1W", "1M"):
                length = "1 Y"
            bars = await ib.reqHistoricalDataAsync(contract, end, length, size, "TRADES", True)
            seconds = BAR_SIZES[size]
            if size == "1W":
                assert 52 <= len(bars) <= 54
            elif size == "1M":
                assert 12 <= len(bars) <= 13
            else:
                covered = 1800 if size == "1 secs" else 6.5 * 3600
                assert len(bars) == pytest.approx(covered / seconds, abs=1.01)
            (day,) = await ib.reqHistoricalDataAsync(contract, end, "1 D", "1 day", "TRADES", True)
            assert bars[-1].close == day.close
            if 5 <= seconds <= 86_400:
                assert max(bar.high for bar in bars) == day.high
                assert min(bar.low for bar in bars) == day.low
                assert sum(bar.volume for bar in bars) == day.volume

    run(story)


def test_the_four_kinds_of_price_stand_around_one_another() -> None:
    async def story() -> None:
        async with gateway_of() as gateway, client("ib_insync", gateway) as ib:
            contract = await apple(ib)
            end = "20260303 15:30:00 UTC"
            bars = {}
            for what in ("MIDPOINT", "BID", "ASK", "BID_ASK"):
                bars[what] = await ib.reqHistoricalDataAsync(
                    contract, end, "3600 S", "1 min", what, True
                )
                assert len(bars[what]) == 60
            for mid, bid, ask, both in zip(*bars.values(), strict=True):
                assert bid.close < mid.close < ask.close
                assert (both.low, both.high) == (bid.low, ask.high)
                assert both.open < both.close, "the average bid and the average ask"

    run(story)


@pytest.mark.parametrize("name", LIBRARIES)
def test_times_are_written_in_the_form_that_was_asked_for(name: str) -> None:
    async def story() -> None:
        async with gateway_of() as gateway, client(name, gateway) as ib:
            contract = await apple(ib, name)
            for form in (1, 2):
                bars = await ib.reqHistoricalDataAsync(
                    contract, "20260303 16:00:00 UTC", "1 D", "30 mins", "TRADES", True, form
                )
                first = bars[0].date
                assert first.astimezone(UTC) == datetime(2026, 3, 3, 14, 30, tzinfo=UTC)
            head = await ib.reqHeadTimeStampAsync(contract, "TRADES", True, 2)
            assert head.year == 2016

    run(story)


def test_the_schedule_names_holidays_and_short_days_by_leaving_them_out_or_ending_early() -> None:
    async def story() -> None:
        async with gateway_of() as gateway, client("ib_insync", gateway) as ib:
            contract = await apple(ib)
            answer = await ib.reqHistoricalScheduleAsync(contract, 10, "20251201 00:00:00", True)
            days = {row.refDate: row for row in answer.sessions}
            assert answer.timeZone == "America/New_York"
            assert "20251127" not in days
            assert days["20251128"].endDateTime == "20251128-13:00:00"
            assert days["20251126"].startDateTime == "20251126-09:30:00"

    run(story)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("", "1 D", "7 mins", "TRADES"), 321, "Historical data bar size setting is invalid"),
        (("", "1 D", "1 min", "NONSENSE"), 321, "Incorrect what to show"),
        (("", "1 X", "1 min", "TRADES"), 321, "duration"),
        (("", "400 D", "1 day", "TRADES"), 321, "must be made in years"),
        (("", "90000 S", "1 hour", "TRADES"), 321, "must be made in days"),
        (("", "7200 S", "1 secs", "TRADES"), 162, "Time length exceed max"),
        (("yesterday", "1 D", "1 min", "TRADES"), 10314, "End Date/Time"),
        (("20150101 00:00:00", "1 M", "1 day", "TRADES"), 162, "HMDS query returned no data: AAPL"),
        (("20250101 00:00:00", "1 D", "5 secs", "TRADES"), 162, "HMDS query returned no data"),
        (("", "1 D", "1 day", "FEE_RATE"), 162, "No historical market data for AAPL/STK"),
    ],
)
def test_what_cannot_be_shown_is_answered_by_its_error(
    arguments: tuple[str, ...], code: int, text: str
) -> None:
    async def story() -> None:
        async with gateway_of() as gateway, client("ib_insync", gateway) as ib:
            errors: list[tuple[int, str]] = []
            ib.errorEvent += lambda number, what, said, *rest: errors.append((what, said))
            bars = await ib.reqHistoricalDataAsync(await apple(ib), *arguments, True)
            assert not bars
            assert errors[-1][0] == code
            assert text in errors[-1][1]

    run(story)


def test_a_currency_pair_has_mids_and_no_trades() -> None:
    async def story() -> None:
        async with gateway_of() as gateway, client("ib_insync", gateway) as ib:
            (pair,) = await ib.qualifyContractsAsync(library("ib_insync").Forex("EURUSD"))
            codes: list[int] = []
            ib.errorEvent += lambda number, code, *rest: codes.append(code)
            assert not await ib.reqHistoricalDataAsync(pair, "", "5 D", "1 day", "TRADES", True)
            assert codes[-1] == 162
            bars = await ib.reqHistoricalDataAsync(pair, "", "5 D", "1 day", "MIDPOINT", True)
            assert len(bars) in (4, 5), "the first quote of today may not be there yet"
            assert all(1.2 < bar.close < 1.6 for bar in bars)

    run(story)


@pytest.mark.parametrize("name", LIBRARIES)
def test_historical_ticks_come_in_three_kinds_from_the_past_and_the_present(name: str) -> None:
    async def story() -> None:
        async with gateway_of() as gateway, client(name, gateway) as ib:
            contract = await apple(ib, name)
            start, end = "20260303 15:00:00 UTC", "20260303 15:00:00 UTC"
            for what in ("TRADES", "BID_ASK", "MIDPOINT"):
                after = await ib.reqHistoricalTicksAsync(contract, start, "", 50, what, True)
                before = await ib.reqHistoricalTicksAsync(contract, "", end, 50, what, True)
                assert 50 <= len(after) <= 60
                assert 50 <= len(before) <= 60
                at = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)
                assert before[-1].time < at <= after[0].time
                times = [tick.time for tick in (*before, *after)]
                assert times == sorted(times)
            assert all(150 < tick.price < 230 for tick in before)

    run(story)


def test_played_ticks_are_told_one_by_one() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, client("ib_insync", gateway) as ib:
            contract = await apple(ib)
            for step in range(5):
                trade(exchange, AAPL, 101.0 + step, size=10.0 + step, at=START + 3)
                quote(exchange, AAPL, 100.0 + step, 102.0 + step, at=START + 3)
            end = f"{datetime.fromtimestamp(START + 60, UTC):%Y%m%d %H:%M:%S} UTC"
            ticks = await ib.reqHistoricalTicksAsync(contract, "", end, 100, "TRADES", False)
            assert [(tick.price, tick.size) for tick in ticks] == [
                (101.0 + step, 10.0 + step) for step in range(5)
            ]
            quotes = await ib.reqHistoricalTicksAsync(contract, "", end, 100, "BID_ASK", False)
            assert [tick.priceBid for tick in quotes][-5:] == [100.0, 101.0, 102.0, 103.0, 104.0]
            codes: list[int] = []
            ib.errorEvent += lambda number, code, *rest: codes.append(code)
            assert not await ib.reqHistoricalTicksAsync(contract, end, end, 10, "TRADES", False)
            assert not await ib.reqHistoricalTicksAsync(contract, "", end, 5000, "TRADES", False)
            assert not await ib.reqHistoricalTicksAsync(contract, "", end, 10, "NONSENSE", False)
            assert codes == [321, 321, 321]

    run(story)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_histogram_holds_the_volume_of_its_days(name: str) -> None:
    async def story() -> None:
        async with gateway_of() as gateway, client(name, gateway) as ib:
            contract = await apple(ib, name)
            rows = await ib.reqHistogramDataAsync(contract, True, "3 days")
            prices = [row.price for row in rows]
            assert prices == sorted(set(prices))
            assert sum(row.count for row in rows) > 1_000_000
            codes: list[int] = []
            ib.errorEvent += lambda number, code, *rest: codes.append(code)
            # ib_async takes 321 for a warning, and its request then waits for ever.
            waiting = asyncio.ensure_future(ib.reqHistogramDataAsync(contract, True, "some time"))
            await until(lambda: codes == [321], "321")
            waiting.cancel()

    run(story)


def ask_bars(raw: RawClient, number: int, size: str = "30 secs", what: str = "TRADES") -> None:
    stock = (0, "AAPL", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "")
    end = "20260303 21:00:00 UTC"
    raw.send(20, number, *stock, 0, end, size, "3600 S", 1, what, 1, 0, "")


def ask_other(raw: RawClient, number: int, minute: int) -> None:
    stock = (0, "AAPL", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "")
    end = f"20260303 20:{minute:02}:00 UTC"
    raw.send(20, number, *stock, 0, end, "30 secs", "3600 S", 1, "TRADES", 1, 0, "")


def test_small_bars_asked_for_too_often_are_refused_in_tws_words() -> None:
    async def story() -> None:
        async with gateway_of(history_pacing=True) as gateway:
            raw = await RawClient.connect(gateway)
            ask_bars(raw, 1)
            assert (await raw.read_until("17"))[1] == "1"
            ask_bars(raw, 2)
            error = await raw.error(162)
            assert error[2] == "2"
            assert error[4].endswith("Historical data request pacing violation")
            ask_bars(raw, 3, "1 min")
            ask_bars(raw, 4, "1 min")
            assert (await raw.read_until("17"))[1] == "3"
            assert (await raw.read_until("17"))[1] == "4"
            for number in range(5, 10):
                ask_other(raw, number, number)
            error = await raw.error(162)
            assert error[2] == "9", "the sixth of one contract within two seconds"
            raw.close()

    run(story)


def test_pacing_counts_ten_minutes_and_two_for_bid_and_ask() -> None:
    pacing = HistoryPacing()
    for number in range(60):
        assert pacing.take(Asked(number, number), 10.0 * number)
    assert not pacing.take(Asked("more", "more"), 599.0)
    assert pacing.take(Asked("more", "more"), 600.0)
    pacing = HistoryPacing()
    for number in range(30):
        assert pacing.take(Asked(number, number, weight=2), 10.0 * number)
    assert not pacing.take(Asked("more", "more"), 301.0)
    pacing = HistoryPacing()
    assert pacing.take(Asked("same", "one"), 0.0)
    assert not pacing.take(Asked("same", "one"), 14.9)
    assert pacing.take(Asked("same", "one"), 15.0), "a refused one counts for nothing"


def test_no_more_than_fifty_requests_are_open_at_once() -> None:
    async def story() -> None:
        async with gateway_of(history_pacing=True, history_seconds=30.0, rate_limit=0) as gateway:
            raw = await RawClient.connect(gateway)
            for number in range(1, 52):
                ask_bars(raw, number, "1 min")
            error = await raw.error(322)
            assert error[2] == "51"
            assert "Only 50 simultaneous" in error[4]
            raw.send(25, 1, 7)
            error = await raw.error(162)
            assert error[2] == "7"
            assert error[4].endswith("API historical data query cancelled: 7")
            raw.send(25, 1, 7)
            assert (await raw.error(366))[2] == "7"
            raw.close()

    run(story)


def test_bars_kept_up_to_date_end_with_their_cancel_or_with_10182() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, client("ib_insync", gateway) as ib:
            contract = await apple(ib)
            errors: list[tuple[int, str]] = []
            ib.errorEvent += lambda number, code, text, *rest: errors.append((code, text))
            trade(exchange, AAPL, 101.0)
            bars = await ib.reqHistoricalDataAsync(
                contract, "", "3600 S", "1 min", "TRADES", False, keepUpToDate=True
            )
            ib.cancelHistoricalData(bars)
            await until(lambda: errors, "162")
            assert errors[-1][0] == 162
            assert "API historical data query cancelled" in errors[-1][1]
            await ib.reqHistoricalDataAsync(
                contract, "", "3600 S", "1 min", "TRADES", False, keepUpToDate=True
            )
            assert gateway.desks.history.fail_live() == 1
            await until(lambda: errors[-1][0] == 10182, "10182")

    run(story)


def test_five_second_bars_come_one_by_one_and_others_are_refused_with_420() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, client("ib_insync", gateway) as ib:
            lib = library("ib_insync")
            contract = await apple(ib)
            codes: list[int] = []
            ib.errorEvent += lambda number, code, *rest: codes.append(code)
            live = ib.reqRealTimeBars(contract, 5, "MIDPOINT", False)
            await ib.reqCurrentTimeAsync()
            for step in range(4):
                quote(exchange, AAPL, 100.0 + step, 100.2 + step, at=START + 5 * (step + 1))
                gateway.desks.history.tick()
            await until(lambda: len(live) == 3, "three bars")
            assert [round(bar.close, 2) for bar in live] == [100.1, 101.1, 102.1]
            (pair,) = await ib.qualifyContractsAsync(lib.Forex("EURUSD"))
            ib.reqRealTimeBars(pair, 5, "TRADES", False)
            await until(lambda: 420 in codes, "420")

    run(story)


def test_bars_go_on_from_the_past_into_what_is_played() -> None:
    async def story() -> None:
        market = SyntheticMarket(3, start=OPENED)
        async with (
            SimulatedGateway(market=market, speed=600, history_pacing=False) as gateway,
            client("ib_insync", gateway) as ib,
        ):
            contract = await apple(ib)
            assert gateway.player is not None
            player = gateway.player
            begins = OPENED.timestamp()
            await until(lambda: player.progress.market_time > begins + 1200, "twenty minutes", 20)
            bars = await ib.reqHistoricalDataAsync(contract, "", "2 D", "5 mins", "TRADES", True)
            times = [bar.date.timestamp() for bar in bars]
            assert times == sorted(set(times))
            assert datetime.fromtimestamp(times[0], UTC) == OPENED - timedelta(days=1)
            assert sum(at >= begins for at in times) >= 4
            assert len([at for at in times if at < begins]) == 78

    run(story)
