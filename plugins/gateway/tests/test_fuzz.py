"""A running gateway under noise: no request, however odd, raises or disturbs another client."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import fuzz_frames
import pytest
from alluse_gateway import wire
from alluse_gateway.decode import NAMES
from alluse_gateway.server import SimulatedGateway
from gateway_lab import RawClient, client, make_exchange, until
from test_wire import CONTRACT, order_fields

WORDS = (
    *("", "0", "1", "2", "-1", "5", "7", "100", "99.5", "1e10", "2147483647", "9" * 25, "nan"),
    *("1.7976931348623157E308", "AAPL", "EUR", "STK", "OPT", "BAG", "SMART", "USD", "BUY", "SELL"),
    *("SSHORT", "MKT", "LMT", "STP", "STP LMT", "TRAIL", "DAY", "GTC", "IOC", "GTD", "OPG", "All"),
    *("DU1000001", "20260105 10:00:00", "99991231 23:59:59", "00000000", "1 min", "1 D", "9 Y"),
    *("TRADES", "BID", "MIDPOINT", "Last", "BidAsk", "NetLiquidation,$LEDGER", "\udcff", "é", "\\"),
)


HISTORY = ["0", "", "1 min", "1 D", "0", "TRADES", "1", "1", ""]
TEMPLATES = (
    ["1", "11", "7", *CONTRACT, "0", "", "0", "0", ""],
    ["1", "11", "8", *CONTRACT, "0", "", "1", "0", ""],
    ["2", "2", "7"],
    ["4", "1", "7", ""],
    ["7", "3", "7", "0", "", "", "", "", "", ""],
    ["9", "8", "7", *CONTRACT, "0", "", "", ""],
    ["20", "7", *CONTRACT, *HISTORY],
    ["50", "3", "7", *CONTRACT, "5", "TRADES", "0", ""],
    ["62", "1", "7", "All", "NetLiquidation,$LEDGER:ALL"],
    ["6", "2", "1", "DU1000001"],
    ["74", "1", "7", "DU1000001", ""],
    ["76", "1", "7", "DU1000001", "", "0"],
    ["78", "7", "AAPL", "", "STK", "1"],
    ["87", "7", *CONTRACT, "0", "0", "TRADES", "2"],
    ["92", "7", "DU1000001", ""],
    ["94", "7", "DU1000001", "", "1"],
    ["97", "7", *CONTRACT, "BidAsk", "0", "0"],
)


def noise(rng: random.Random) -> bytes:
    """One message: an order or another request, with a few fields replaced, or mere noise."""
    what = rng.random()
    if what < 0.4:
        order_id = str(rng.randrange(1, 3000))
        fields = order_fields(176, f1=order_id, f23="DU1000001", f18=rng.choice(TYPES))
        fields[19], fields[20] = rng.choice(PRICES), rng.choice(PRICES)
    elif what < 0.9:
        fields = list(rng.choice(TEMPLATES))
    else:
        kind = rng.choice([kind for kind in NAMES if kind != 71])
        fields = [str(kind), *[rng.choice(WORDS) for _ in range(rng.randrange(20))]]
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        fields[rng.randrange(len(fields))] = rng.choice(WORDS)
    if fields[0] == "71":
        fields[0] = "49"
    return wire.frame(wire.joined(*fields))


TYPES = ("MKT", "LMT", "STP", "STP LMT")
PRICES = ("90", "99.5", "100.1", "101", "110", "")


@pytest.mark.parametrize("seed", range(4))
def test_no_noise_raises_or_disturbs_another_client(seed: int) -> None:
    rng = random.Random(seed)
    raised: list[dict[str, Any]] = []

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
        async with (
            SimulatedGateway(
                make_exchange(), rate_limit=0, sampling=0, strict_order_ids=False
            ) as gateway,
            client("ib_insync", gateway, 9) as ib,
        ):
            raw = await RawClient.connect(gateway)
            answered = asyncio.ensure_future(raw.rest())
            for _ in range(40):
                raw.writer.write(b"".join(noise(rng) for _ in range(50)))
                await raw.writer.drain()
                await asyncio.sleep(0)
            await until(lambda: max(each.rate.total for each in gateway.sessions) > 2000, "all")
            assert await ib.reqCurrentTimeAsync()
            assert len(gateway.ledger.of("placed")) > 100
            assert gateway.ledger.of("fill")
            gateway.desks.accounts.tick()
            gateway.desks.history.tick()
            assert [each.alive for each in gateway.sessions] == [True, True]
            raw.close()
            gateway.control.drop(1)
            assert await answered

    asyncio.run(asyncio.wait_for(story(), 20))
    assert raised == []


def test_varied_frames_of_every_version_raise_nothing_and_leave_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fuzz_frames, "GENERATION", 600)
    target = fuzz_frames.Target(3000)
    fuzz_frames.by_random(target, 5)
    assert "3000 inputs" in target.report("a seeded random generator", 1.0)
    assert target.written > 10_000
    target.close()


class Keeping(fuzz_frames.Target):
    """Keeps what it is given, as a gateway that leaks would."""

    kept: list[list[int]]

    def one(self, data: bytes) -> None:
        super().one(data)
        self.kept += [[0] for _ in range(30)]


def test_the_fuzz_notices_memory_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_frames, "GENERATION", 300)
    target = Keeping(1800)
    target.kept = []
    with pytest.raises(fuzz_frames.Growth):
        fuzz_frames.by_random(target, 5)
    target.close()


def test_the_fuzz_notices_an_error_that_leaves_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, session: Any, request: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(SimulatedGateway, "asked", broken)
    target = fuzz_frames.Target(1000)
    with pytest.raises(ZeroDivisionError):
        fuzz_frames.by_random(target, 5)
    target.close()
