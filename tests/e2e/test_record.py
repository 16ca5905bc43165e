"""``alluse record``: what it writes is what ``--replay`` plays."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from alluse_paper.market import QuoteEvent
from alluse_paper.record import record
from alluse_paper.recording import Recording
from alluse_paper.writer import RecordingWriter

import alluse_core as alluse
from alluse_core import Instrument, Quote

SYMBOLS = ("SPY", "AAPL", "IBM")


def _settings(port: int | None) -> dict[str, object]:
    paper = {"provider": "paper", "speed": 5.0, "seed": 3}
    broker = paper if port is None else {"provider": "ibkr", "port": port}
    return {"brokers": {"main": broker}, "analysis": {"period": 3600.0}}


class _Taught(RecordingWriter):
    """Keeps what it was given to write."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.given: list[tuple[Quote, float]] = []

    def write(self, quote, time=None) -> None:
        self.given.append((quote, (quote.time or time).timestamp()))
        super().write(quote, time)


async def _recorded(port: int | None, tmp_path: Path) -> list[tuple[Quote, float]]:
    stop = asyncio.Event()
    async with alluse.open(_settings(port), state=tmp_path / "state") as runtime:
        asyncio.get_running_loop().call_later(3.0, stop.set)
        with _Taught(tmp_path / "recording") as writer:
            instruments = [Instrument.stock(symbol) for symbol in SYMBOLS]
            broker = runtime.brokers["main"]
            await record(broker, runtime.clock, instruments, writer, stop)
    return writer.given


def _same(left: float, right: float) -> bool:
    return left == right or (left != left and right != right)


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["ibkr", "paper"])
def test_a_recording_is_read_as_it_was_streamed(gateway, tmp_path, provider) -> None:
    port = gateway.port if provider == "ibkr" else None
    given = asyncio.run(_recorded(port, tmp_path))
    read = [
        event
        for event in Recording(tmp_path / "recording").events()
        if isinstance(event, QuoteEvent)
    ]
    assert len(given) > 10
    assert len(read) == len(given)
    assert {str(event.instrument) for event in read} == set(SYMBOLS)
    times = [time for _, time in given]
    assert times == sorted(times)
    for event, (quote, time) in zip(read, given, strict=True):
        assert event.instrument == quote.instrument
        assert event.time == pytest.approx(time, abs=0.00101)
        for name in ("bid", "bid_size", "ask", "ask_size"):
            assert _same(getattr(event, name), getattr(quote, name)), name


@pytest.mark.slow
def test_the_demo_replays_what_record_wrote(
    gateway, settings_file, tmp_path, alluse_command
) -> None:
    recording, out = tmp_path / "recording", tmp_path / "out"
    config = settings_file(gateway.port)
    written = alluse_command(
        *("record", *SYMBOLS, "--config", str(config), "--out", str(recording)),
        *("--seconds", "6", "--json"),
    )
    assert written.returncode == 0, written.stderr
    told = json.loads(written.stdout)
    assert told["rows"] > 10
    assert all(Path(path).is_file() for path in told["files"])
    finished = alluse_command(
        *("demo", "--replay", str(recording), "--seconds", "3", "--out", str(out), "--json")
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert json.loads(finished.stdout)
    orders = json.loads(alluse_command("orders", "list", "--out", str(out), "--json").stdout)
    assert {order["instrument"].split(":")[1] for order in orders} == set(SYMBOLS)


def test_a_share_that_the_broker_does_not_know_is_named(
    gateway, settings_file, tmp_path, alluse_command, one_clear_error
) -> None:
    config = settings_file(gateway.port)
    finished = alluse_command(
        *("record", "NOSUCH", "--config", str(config), "--out", str(tmp_path / "recording"))
    )
    one_clear_error(finished, 4, ["NOSUCH"])
