"""``alluse record``: write what a broker streams in the form that ``--replay`` reads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import attrs
import click

import alluse_core as alluse
from alluse_core.cli.numbers import FiniteRange
from alluse_core.clock import Clock
from alluse_core.errors import RecordingError, SettingsError, UsageError, did_you_mean
from alluse_core.model.instrument import Instrument
from alluse_core.model.quote import DataType, Quote
from alluse_core.ports import Broker
from alluse_paper.writer import RecordingWriter

_FLUSH_SECONDS = 5.0


@attrs.define
class Recorded:
    """What was written: ``rows``; ``not_live`` quotes were delayed or frozen and left out."""

    rows: int = 0
    not_live: int = 0


class Recorder:
    """Takes quotes of one broker into a writer; nothing is raised into the broker's stream.

    A quote's time in the recording is that of its receipt. Delayed and frozen quotes are counted
    and left out: a recording cannot say that it was not live. ``failed`` holds the error that
    stopped the writing; ``stop`` is set then.
    """

    def __init__(self, writer: RecordingWriter, clock: Clock, stop: asyncio.Event) -> None:
        self.result = Recorded()
        self.failed: RecordingError | None = None
        self._writer = writer
        self._clock = clock
        self._stop = stop

    def take(self, quote: Quote) -> None:
        """Write one quote, unless writing has failed before."""
        if quote.data_type is not DataType.LIVE:
            self.result.not_live += 1
        elif self.failed is None:
            # A venue that tells only when it last traded would date all quotes between two trades
            # alike: what is recorded is when each was received.
            received = attrs.evolve(quote, time=None)
            self._try(lambda: self._writer.write(received, self._clock.now()))
            self.result.rows = self._writer.rows

    def flush(self) -> None:
        """Put what was taken on disk."""
        if self.failed is None:
            self._try(self._writer.flush)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except RecordingError as error:
            self.failed = error
            self._stop.set()


async def record(
    broker: Broker,
    clock: Clock,
    instruments: Iterable[Instrument],
    writer: RecordingWriter,
    stop: asyncio.Event,
) -> Recorded:
    """Stream ``instruments`` of a connected broker into ``writer`` until ``stop`` is set.

    Raises InstrumentNotFound or AmbiguousInstrument before anything is streamed, and
    RecordingError where the recording cannot be written on.
    """
    known = [(await broker.define(each)).instrument for each in instruments]
    recorder = Recorder(writer, clock, stop)
    streams = [broker.subscribe(each, recorder.take) for each in known]
    flushing = asyncio.create_task(_flush_regularly(recorder, clock))
    try:
        await stop.wait()
    finally:
        flushing.cancel()
        for stream in streams:
            stream.close()
        recorder.flush()
    if recorder.failed is not None:
        raise recorder.failed
    return recorder.result


async def _flush_regularly(recorder: Recorder, clock: Clock) -> None:
    while True:
        await clock.sleep(_FLUSH_SECONDS)
        recorder.flush()


@click.command()
@click.argument("instruments", nargs=-1, required=True, metavar="INSTRUMENT...")
@click.option("--config", type=click.Path(dir_okay=False), help="Settings file.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the recording.",
)
@click.option("--broker", "broker_name", help="Which of the configured brokers; the first.")
@click.option(
    "--seconds", type=FiniteRange(min=0, min_open=True), help="Stop by itself after so long."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def command(
    instruments: Sequence[str],
    config: str | None,
    out: Path,
    broker_name: str | None,
    seconds: float | None,
    as_json: bool,
) -> None:
    """Write what the broker streams as a recording that --replay reads.

    INSTRUMENT is a US stock's symbol, or an id such as CASH:EUR:IDEALPRO:USD.
    """
    wanted = [_parse(text) for text in instruments]
    result = asyncio.run(_run(config, broker_name, wanted, out, seconds))
    files = sorted(str(path) for path in out.glob("*.csv.gz"))
    if as_json:
        click.echo(json.dumps({**attrs.asdict(result), "files": files}))
        return
    click.echo(f"{result.rows} rows in {len(files)} files below {out}", err=True)
    if result.not_live:
        click.echo(f"{result.not_live} quotes that were not live were left out", err=True)


def _parse(text: str) -> Instrument:
    try:
        return Instrument.parse(text)
    except ValueError as error:
        raise UsageError(
            str(error), hint="give a symbol, or an id such as CASH:EUR:IDEALPRO:USD"
        ) from None


async def _run(
    config: str | None,
    broker_name: str | None,
    instruments: Sequence[Instrument],
    out: Path,
    seconds: float | None,
) -> Recorded:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Where the loop cannot take signals, Ctrl-C arrives as KeyboardInterrupt.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    async with alluse.open(config) as runtime:
        names = list(runtime.brokers)
        name = broker_name or names[0]
        if name not in runtime.brokers:
            raise SettingsError(
                f"no broker {name!r} among {names}{did_you_mean(name, names)}",
                hint="name one of the [brokers.NAME] tables",
            )
        click.echo(f"recording from {name} into {out}; Ctrl-C ends", err=True)
        with RecordingWriter(out) as writer:
            return await record(runtime.brokers[name], runtime.clock, instruments, writer, stop)
