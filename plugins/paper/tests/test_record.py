"""``alluse record``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest
from alluse_paper.broker import PaperBroker
from alluse_paper.market import QuoteEvent
from alluse_paper.plugin import alluse_commands
from alluse_paper.record import Recorded, Recorder, command, record
from alluse_paper.recording import Recording
from alluse_paper.settings import PaperSettings
from alluse_paper.writer import RecordingWriter
from click.testing import CliRunner

from alluse_core.errors import InstrumentNotFound, RecordingError, UsageError
from alluse_core.model import Instrument, Quote
from alluse_core.model.quote import DataType
from alluse_core.testing.clock import VirtualClock
from alluse_core.testing.conformance import make_context

SPY = Instrument.stock("SPY")
EURUSD = Instrument.forex("EURUSD")


def recorded(folder: Path, *instruments: Instrument) -> Recorded:
    async def whole() -> Recorded:
        clock = VirtualClock()
        broker = PaperBroker(make_context(settings=PaperSettings(seed=5), clock=clock))
        await broker.connect()
        stop = asyncio.Event()
        try:
            with RecordingWriter(folder) as writer:
                task = asyncio.create_task(record(broker, clock, instruments, writer, stop))
                await clock.advance(12.0)
                if not task.done():
                    assert list(Recording(folder).events()), "flushed while it goes on"
                    stop.set()
                return await task
        finally:
            await broker.close()

    return asyncio.run(whole())


def test_what_a_broker_streams_can_be_replayed(tmp_path: Path) -> None:
    result = recorded(tmp_path, SPY, EURUSD)
    events = list(Recording(tmp_path).events())
    assert result.rows == len(events) > 20
    assert result.not_live == 0
    assert {event.instrument for event in events} == {SPY, EURUSD}
    quotes = [event for event in events if isinstance(event, QuoteEvent)]
    assert all(0 < quote.bid < quote.ask for quote in quotes)


def test_an_instrument_the_broker_does_not_know_is_an_error_before_the_start(
    tmp_path: Path,
) -> None:
    with pytest.raises(InstrumentNotFound):
        recorded(tmp_path, SPY, Instrument.stock("NOSUCHNAME"))
    assert not list(tmp_path.iterdir())


def test_quotes_that_are_not_live_are_counted_and_left_out(tmp_path: Path) -> None:
    async def whole() -> None:
        writer = RecordingWriter(tmp_path)
        recorder = Recorder(writer, VirtualClock(), asyncio.Event())
        delayed = Quote(SPY, bid=1.0, ask=2.0, data_type=DataType.DELAYED)
        recorder.take(delayed)
        recorder.take(attrs.evolve(delayed, data_type=DataType.LIVE))
        assert recorder.result == Recorded(rows=1, not_live=1)

    asyncio.run(whole())


def test_a_disk_that_takes_no_more_stops_the_recording_with_its_error(tmp_path: Path) -> None:
    async def whole() -> None:
        stop = asyncio.Event()
        writer = RecordingWriter(tmp_path / "below", rows_per_flush=1)
        recorder = Recorder(writer, VirtualClock(), stop)
        (tmp_path / "below").rmdir()
        quote = Quote(SPY, bid=1.0, data_type=DataType.LIVE, time=datetime(2026, 1, 5, tzinfo=UTC))
        recorder.take(quote)
        recorder.take(quote)
        assert isinstance(recorder.failed, RecordingError)
        assert stop.is_set()

    asyncio.run(whole())


def test_arguments_that_cannot_be_meant_are_usage_errors(tmp_path: Path) -> None:
    (registered,) = alluse_commands()
    assert registered.target == "alluse_paper.record:command"
    run = CliRunner().invoke(command, ["FOO:BAR", "--out", str(tmp_path)])
    assert isinstance(run.exception, UsageError)
    refused = CliRunner().invoke(command, ["SPY", "--seconds", "-1", "--out", str(tmp_path)])
    assert refused.exit_code == 2
    assert "--seconds" in refused.output
