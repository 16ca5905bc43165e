"""Depth of the book, and ticks one by one."""

from __future__ import annotations

import pytest
from alluse_gateway.server import SimulatedGateway
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

STOCK = (0, "AAPL", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "")


@pytest.mark.parametrize("name", LIBRARIES)
def test_depth_stands_behind_the_best_prices_and_follows_them(name: str) -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway, client(name, gateway) as ib:
            lib = library(name)
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            ticker = ib.reqMktDepth(contract, 5, isSmartDepth=True)
            await until(lambda: len(ticker.domBids) == 5 == len(ticker.domAsks), "five rows")
            assert [row.price for row in ticker.domBids] == pytest.approx(
                [100.0, 99.99, 99.98, 99.97, 99.96]
            )
            assert ticker.domAsks[0].price == 100.1
            assert ticker.domBids[0].size == 1000
            assert {row.marketMaker for row in ticker.domBids} == {"NASDAQ"}
            quote(exchange, AAPL, 101.0, 101.2)
            await until(lambda: ticker.domBids[0].price == 101.0, "the move")
            assert len(ticker.domBids) == 5
            codes: list[int] = []
            ib.errorEvent += lambda number, code, *rest: codes.append(code)
            assert gateway.control.depth_reset() == 1
            await until(lambda: 317 in codes and len(ticker.domBids) == 5, "317 and a new book")

    run(story)


def test_depth_has_its_limit_and_its_errors() -> None:
    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            raw = await RawClient.connect(gateway)
            raw.send(10, 5, 9, *STOCK, 5, 0, "")
            assert (await raw.error(10092))[2] == "9"
            for number in range(1, 5):
                raw.send(10, 5, number, *STOCK, 5, 1, "")
            assert (await raw.error(309))[2] == "4"
            raw.send(11, 1, 77, 1)
            assert (await raw.error(310))[2] == "77"
            raw.send(11, 1, 1, 1)
            direct = (0, "AAPL", "STK", "", 0.0, "", "", "NASDAQ", "", "USD", "", "")
            raw.send(10, 5, 5, *direct, 2, 0, "")
            fields = await raw.read_until("12")
            assert fields[2:] == ["5", "0", "0", "0", "100.1", "1000"]
            raw.close()

    run(story)


def test_ticks_of_the_past_precede_a_stream_of_ticks() -> None:
    async def story() -> None:
        exchange = make_exchange()
        async with SimulatedGateway(exchange) as gateway:
            raw = await RawClient.connect(gateway)
            for step in range(4):
                trade(exchange, AAPL, 101.0 + step, at=START + step)
            raw.send(97, 1, *STOCK, "Last", 3, 0)
            fields = await raw.read_until("98")
            assert fields[1:3] == ["1", "3"]
            assert [fields[5 + 6 * row] for row in range(3)] == ["102", "103", "104"]
            trade(exchange, AAPL, 110.0, at=START + 9)
            assert (await raw.read_until("99"))[4] == "110"
            raw.close()

    run(story)
