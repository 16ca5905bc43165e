"""Failures of others, as regression tests of the adapter."""

from __future__ import annotations

import asyncio

import pytest
from alluse_ibkr.reading import PIECE
from ibkr_lab import AAPL, LIBRARIES, Lab, Peer, connected, frame, gateway, scripted, until

from alluse_core.errors import NotSent, RequestFailed
from alluse_core.model import (
    BrokerNotice,
    BrokerStatus,
    LinkState,
    Order,
    OrderIdentity,
    OrderReport,
    Quote,
    Side,
)
from alluse_core.ports import OrderMessage

both = pytest.mark.parametrize("library", LIBRARIES)


def message(number: int, account: str) -> OrderMessage:
    order = Order.limit(AAPL, Side.BUY, 1, 50, key=f"k{number}", account=account, broker="main")
    return OrderMessage(order, f"au-{number}", number)


@both
def test_no_order_waits_in_a_queue_of_the_library(library: str) -> None:
    """Of 120 placeOrder calls 76 were still in the client's own queue, and gone."""

    async def story() -> None:
        async with gateway(rate_limit=0) as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                first = broker.order_id_floor
                before = lab.sample("messages_sent", role="orders") or 0
                for number in range(first, first + 120):
                    broker.place([message(number, broker.accounts[0])])
                assert lab.sample("messages_sent", role="orders") == before + 120
                await until(lambda: len(gate.ledger.of("place")) == 120, "120 orders")

    asyncio.run(story())


@both
def test_of_120_orders_before_a_cut_socket_none_is_lost_in_silence(library: str) -> None:
    """76 of 120 were gone without a trace. Ours are at the broker, or NotSent."""

    async def story() -> None:
        async with gateway(rate_limit=0) as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                first, sent, refused = broker.order_id_floor, set(), set()
                for number in range(first, first + 120):
                    if number == first + 80:
                        await until(lambda: len(gate.ledger.of("place")) == 80, "80 orders")
                        await gate.control.pause_listening()
                        gate.control.drop(17, abort=True)
                        await until(lambda: broker.link is not LinkState.UP, "the loss")
                    try:
                        broker.place([message(number, broker.accounts[0])])
                    except NotSent:
                        refused.add(f"au-{number}")
                    else:
                        sent.add(f"au-{number}")
                await gate.control.resume_listening()
                await until(lambda: broker.link is LinkState.UP, "the reconnection")
                rows = [*(await broker.open_orders()).rows, *(await broker.completed_orders()).rows]
                assert {row.identity.order_ref for row in rows} == sent
                assert (len(sent), len(refused)) == (80, 40)

    asyncio.run(story())


@both
def test_a_lost_connection_empties_nothing_that_the_adapter_knows(library: str) -> None:
    """The library's reset() empties trades, fills and positions."""

    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                account = broker.accounts[0]
                number = broker.order_id_floor
                broker.place([message(number, account)])
                await until(lambda: lab.of(OrderReport), "the acknowledgement")
                definition = await broker.define(AAPL)
                perm_id = next(r.identity.perm_id for r in lab.of(OrderReport))
                counted = lab.sample("messages_sent", role="orders") or 0
                gate.control.drop(abort=True)
                await until(lambda: broker.link is not LinkState.UP, "the loss")
                assert broker.order_id_floor == number + 1
                await until(lambda: broker.link is LinkState.UP, "the reconnection")
                assert broker.order_id_floor == number + 1
                assert await broker.define(AAPL) is definition
                assert (lab.sample("messages_sent", role="orders") or 0) > counted
                before = len(lab.of(OrderReport))
                identity = OrderIdentity(f"au-{number}", perm_id, number, broker.client_id)
                broker.cancel(identity)

                def ended() -> bool:
                    reports = lab.of(OrderReport)[before:]
                    return any(r.status is BrokerStatus.CANCELED for r in reports)

                await until(ended, "the cancel's evidence")
                assert {r.identity for r in lab.of(OrderReport)[before:]} == {identity}

    asyncio.run(story())


@both
def test_a_large_read_is_decoded_in_pieces_and_still_gives_one_quote(library: str) -> None:
    """The client copies its whole buffer for each message that it takes off."""
    largest = 0
    seen: list[Quote] = []

    async def story() -> None:
        nonlocal largest
        async with gateway() as gate:
            lab = Lab(port=gate.port, library=library)
            async with connected(lab) as broker:
                broker.subscribe(AAPL, seen.append)
                await until(lambda: seen and seen[-1].ask == 100.1, "the first quote")
                session = broker._data.session
                (number,) = session.wrapper.lines
                arrived = session.wrapper.tcpDataArrived

                def measured() -> None:
                    nonlocal largest
                    largest = max(largest, len(session.client._data))
                    arrived()

                session.client._tcpDataArrived = measured
                before, received = len(seen), session.wrapper.received
                ticks = [frame(1, 6, number, 1, 90 + n / 1000, 5, 0) for n in range(5000)]
                session.client.conn.data_received(b"".join(ticks))
                assert session.wrapper.received == received + 5000
                assert [quote.bid for quote in seen[before:]] == [94.999]
                assert largest < PIECE

    asyncio.run(story())


@both
@pytest.mark.parametrize("code", [161, 10148, 10349, 103, 104, 100, 10147, 399, 2109])
def test_an_error_that_bears_an_orders_id_is_not_taken_for_its_end(library: str, code: int) -> None:
    """ib_insync #502, pysystemtrade #1580: live orders shown as Cancelled by an error's number."""

    async def server(peer: Peer) -> None:
        await peer.hello()
        peer.send(frame(176, "20260105 14:30:00 UTC"))
        start = await peer.message()
        peer.send(frame(15, 1, "DU1,"), frame(9, 1, 100))
        if start[2] == "18":
            await peer.serve()
        placed = await peer.message()
        peer.send(
            frame(3, placed[1], "Submitted", 0, 1, 0, 77, 0, 0, 17, "", 0),
            frame(4, 2, placed[1], code, "some text", ""),
        )
        await peer.serve()

    async def story() -> None:
        async with scripted(server) as port:
            lab = Lab(port=port, library=library)
            async with connected(lab) as broker:
                broker.place([message(100, "DU1")])
                await until(lambda: lab.of(BrokerNotice), "the notice")
                await broker.probe()
                assert [r.status for r in lab.of(OrderReport)] == [BrokerStatus.WORKING]
                (report,) = lab.of(OrderReport)
                assert report.identity == OrderIdentity("au-100", 77, 100, 17)
                (notice,) = lab.of(BrokerNotice)
                assert (notice.code, notice.identity) == (
                    code,
                    OrderIdentity(order_id=100, client_id=17),
                )

    asyncio.run(story())


@both
def test_inactive_after_a_reject_is_a_reject_and_before_it_is_held(library: str) -> None:
    """Inactive may be a hold; only the broker's 201 makes it an end."""

    async def orders(peer: Peer) -> None:
        await peer.hello()
        peer.send(frame(176, "20260105 14:30:00 UTC"))
        start = await peer.message()
        peer.send(frame(15, 1, "DU1,"), frame(9, 1, 100))
        if start[2] == "18":
            await peer.serve()
        placed = await peer.message()
        inactive = frame(3, placed[1], "Inactive", 0, 1, 0, 77, 0, 0, 17, "", 0)
        peer.send(inactive, frame(4, 2, placed[1], 201, "Order rejected: margin", ""), inactive)
        await peer.serve()

    async def story() -> None:
        async with scripted(orders) as port:
            lab = Lab(port=port, library=library)
            async with connected(lab) as broker:
                broker.place([message(100, "DU1")])
                await until(lambda: len(lab.of(OrderReport)) == 2, "both reports")
                held, rejected = lab.of(OrderReport)
                assert held.status is BrokerStatus.HELD
                assert rejected.status is BrokerStatus.REJECTED
                assert "margin" in rejected.reason

    asyncio.run(story())


@both
def test_a_late_end_mark_does_not_complete_the_next_question_too_early(library: str) -> None:
    """ib_async #84: a question that failed leaves an end mark behind; unknown is not empty."""

    async def server(peer: Peer) -> None:
        await peer.accept()
        asked = 0
        while True:
            fields = await peer.message()
            if fields[0] == "49":
                if asked == 1:
                    peer.send(frame(53, 1))
                peer.send(frame(49, 1, 1_700_000_000))
            elif fields[0] == "16":
                asked += 1

    async def story() -> None:
        async with scripted(server) as port:
            lab = Lab(port=port, library=library, request_timeout=0.1, heartbeat=60.0)
            async with connected(lab) as broker:
                for _ in range(2):
                    with pytest.raises(RequestFailed):
                        await broker.open_orders()

    asyncio.run(story())
