"""News, scans, display groups and advisors' tables: what is asked for, and by how many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alluse_gateway import news, scanner
from alluse_gateway.server import SimulatedGateway
from alluse_paper.market import Listing
from gateway_lab import AAPL, EURUSD, MSFT, START, RawClient, make_exchange, quote, trade

LISTING = Listing.of(AAPL)
SCAN = ["", "STK", "STK.US.MAJOR", "MOST_ACTIVE", *[""] * 17, ""]


def run(story: Callable[[SimulatedGateway, RawClient], Awaitable[None]], **more: Any) -> None:
    async def whole() -> None:
        async with SimulatedGateway(make_exchange(**more), rate_limit=0) as gateway:
            raw = await RawClient.connect(gateway)
            await story(gateway, raw)
            raw.close()

    asyncio.run(asyncio.wait_for(whole(), 10))


def test_headlines_are_the_same_whenever_they_are_asked_for() -> None:
    end = datetime(2026, 1, 5, 12, tzinfo=UTC)
    found = list(news.between(LISTING, end - timedelta(days=60), end))
    assert found == list(news.between(LISTING, end - timedelta(days=60), end))
    assert 20 < len(found) < 90
    assert [each.time for each in found] == sorted((each.time for each in found), reverse=True)
    assert all(end - timedelta(days=60) < each.time <= end for each in found)
    assert len({each.article for each in found}) == len(found)


def test_news_is_cut_at_its_limit_and_says_so() -> None:
    async def story(gateway: SimulatedGateway, raw: RawClient) -> None:
        con_id = gateway.exchange.listing(AAPL).con_id
        raw.send(86, 7, con_id, "SIM", "", "", 3, "")
        rows = [await raw.read_until("86") for _ in range(3)]
        assert (await raw.read_until("87"))[1:] == ["7", "1"]
        raw.send(86, 8, con_id, "SIM", rows[2][2], rows[0][2], 10, "")
        later = [await raw.read_until("86") for _ in range(2)]
        assert [each[4] for each in later] == [each[4] for each in rows[:2]], (
            "the start is left out"
        )
        assert (await raw.read_until("87"))[1:] == ["8", "0"]
        raw.send(84, 9, "SIM", rows[0][4], "")
        assert rows[0][5] in (await raw.read_until("83"))[3]
        for article in ("SIM$1-20260105-0", "SIM$-x", f"SIM${con_id}-20261399-0", "x"):
            raw.send(84, 9, "SIM", article, "")
            await raw.error(10172)
        raw.send(86, 7, con_id, "OTHER", "", "", 3, "")
        await raw.error(321)
        raw.send(86, 7, con_id, "SIM", "yesterday", "", 3, "")
        await raw.error(321)
        raw.send(86, 7, 1, "SIM", "", "", 3, "")
        await raw.error(200)

    run(story)


def test_bulletins_reach_who_reads_them_and_today_s_are_kept() -> None:
    async def story(gateway: SimulatedGateway, raw: RawClient) -> None:
        assert gateway.control.bulletin("early", "NYSE", 2) == 0
        raw.send(12, 1, 1)
        assert (await raw.read_until("14"))[2:] == ["1", "2", "early", "NYSE"]
        assert gateway.control.bulletin("late") == 1
        assert (await raw.read_until("14"))[4] == "late"
        raw.send(13, 1)
        raw.send(49, 1)
        await raw.read_until("49")
        assert gateway.control.bulletin("unread") == 0

    run(story)


def test_a_scan_ranks_the_market_and_ends_with_162() -> None:
    async def story(gateway: SimulatedGateway, raw: RawClient) -> None:
        exchange = gateway.exchange
        trade(exchange, AAPL, 100.05, size=500.0, at=START + 1)
        trade(exchange, MSFT, 300.1, size=5000.0, at=START + 1)
        quote(exchange, EURUSD, 1.1, 1.1002, at=START + 1)
        raw.send(22, 7, *SCAN)
        fields = await raw.read_until("20")
        assert (fields[2:4], fields[6], fields[22]) == (["7", "2"], "MSFT", "AAPL")
        for _ in range(scanner.REFRESH_S):
            gateway.desks.scanner.tick()
        assert (await raw.read_until("20"))[2] == "7"
        raw.send(22, 7, *SCAN)
        await raw.error(102)
        raw.send(22, 8, "", "STK", "STK.US.MAJOR", "MOST_ACTIVE", "200", *[""] * 17)
        assert (await raw.read_until("20"))[3] == "1", "above a price of 200"
        raw.send(22, 9, "", "STK", "STK.US.MAJOR", "NO_SUCH_SCAN", *[""] * 18)
        await raw.error(321)
        for number in range(20, 20 + scanner.MOST_SCANS - 1):
            raw.send(22, number, *SCAN)
        await raw.error(162)
        raw.send(23, 1, 7)
        assert (await raw.error(162))[4].endswith("API scanner subscription cancelled: 7")
        raw.send(23, 1, 7)
        await raw.error(365)

    run(story)


def test_display_groups_are_shared_and_bounded() -> None:
    async def story(gateway: SimulatedGateway, raw: RawClient) -> None:
        raw.send(68, 1, 7, 3)
        assert (await raw.read_until("68"))[2:] == ["7", "none"]
        other = await RawClient.connect(gateway, 2)
        other.send(68, 1, 9, 3)
        await other.read_until("68")
        raw.send(69, 1, 7, "265598@SMART")
        assert (await other.read_until("68"))[2:] == ["9", "265598@SMART"]
        raw.send(69, 1, 8, "265598@SMART")
        await raw.error(321)
        raw.send(68, 1, 7, 8)
        await raw.error(321)
        for number in range(200):
            raw.send(68, 1, number, 1)
        await raw.error(321)
        other.close()
        await asyncio.sleep(0.02)
        assert len(gateway.desks.display_groups._subscriptions) <= 100
        raw.send(69, 1, 7, "x" * 5000)
        await raw.error(321)

    run(story)


def test_advisors_tables_are_for_advisors() -> None:
    async def refused(gateway: SimulatedGateway, raw: RawClient) -> None:
        raw.send(18, 1, 1)
        assert "non FA" in (await raw.error(321))[4]
        raw.send(19, 1, 1, "<x/>", 7)
        assert (await raw.error(321))[2] == "7"
        raw.send(65, 1, "program", "1")
        await raw.error(321)

    async def answered(gateway: SimulatedGateway, raw: RawClient) -> None:
        raw.send(18, 1, 1)
        assert "<ListOfGroups></ListOfGroups>" in (await raw.read_until("16"))[3]
        raw.send(18, 1, 3)
        assert "<account>DF1</account>" in (await raw.read_until("16"))[3]
        raw.send(19, 1, 1, "<ListOfGroups><Group/></ListOfGroups>", 7)
        assert (await raw.read_until("103"))[1] == "7"
        raw.send(18, 1, 1)
        assert "<Group/>" in (await raw.read_until("16"))[3]
        raw.send(19, 1, 1, "no xml", 8)
        await raw.error(321)

    run(refused)
    run(answered, accounts=("DF1", "DU2"))


@pytest.mark.parametrize("code", scanner.SCANS)
def test_the_scanner_parameters_name_every_scan(code: str) -> None:
    assert f"<scanCode>{code}</scanCode>" in scanner.parameters_xml()
