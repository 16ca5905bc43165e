"""Writes quotes as a recording: the CSV.gz form that :class:`Recording` reads."""

from __future__ import annotations

import gzip
import math
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from alluse_core.errors import RecordingError
from alluse_core.model.instrument import Instrument, SecurityType
from alluse_core.model.quote import Quote
from alluse_paper.rows import OPTION_QUOTES, PRINTS, QUOTES, VENUE_QUOTES


class RecordingWriter:
    """Writes quotes and trades below ``folder``, one file per kind and UTC day.

    Stocks, futures and indexes go to ``quotes_DATE`` and ``trades_DATE``, currency pairs to
    ``forex_DATE`` with their exchange as the venue, US options to ``options_DATE``. A symbol
    column holds a bare symbol for a US stock and the instrument's id for anything else that it
    could not name. Times are UTC, ISO 8601 with milliseconds.

    Each flush ends a gzip member, so that what was flushed can be read whatever happens to the
    process afterwards. Raises RecordingError where the folder cannot be written.
    """

    def __init__(self, folder: Path | str, *, rows_per_flush: int = 5_000) -> None:
        self.folder = Path(folder)
        self.rows = 0
        self._rows_per_flush = rows_per_flush
        self._pending: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._pending_rows = 0
        self._trades: dict[Instrument, tuple[float, float, float]] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._cannot_write(error) from error

    def write(self, quote: Quote, time: datetime | None = None) -> None:
        """Take the two sides of ``quote``, and its trade where that is a new one.

        ``time`` (aware) is used where the quote has no venue time; one of the two must be there,
        else ValueError.
        """
        when = quote.time or time
        if when is None:
            raise ValueError(f"a recorded quote of {quote.instrument} needs a time")
        stamp = _iso(when)
        kind, header, row = _quote_row(quote, stamp)
        self._add(f"{kind}_{stamp[:10].replace('-', '')}", header, row)
        trade = (quote.last, quote.last_size, quote.volume)
        if math.isfinite(quote.last) and not _same(trade, self._trades.get(quote.instrument)):
            self._trades[quote.instrument] = trade
            name = _symbol(quote.instrument)
            self._add(
                f"trades_{stamp[:10].replace('-', '')}",
                PRINTS,
                f"{stamp},{name},{_text(quote.last)},{_text(quote.last_size)},,,0\n",
            )

    def flush(self) -> None:
        """Put everything taken so far on disk."""
        pending, self._pending, self._pending_rows = self._pending, defaultdict(list), 0
        try:
            for (name, header), rows in pending.items():
                path = self.folder / f"{name}.csv.gz"
                new = not path.exists()
                with gzip.open(path, "at", encoding="utf-8", newline="\n") as stream:
                    if new:
                        stream.write(header + "\n")
                    stream.writelines(rows)
        except OSError as error:
            raise self._cannot_write(error) from error

    def close(self) -> None:
        """Flush. The writer may be used again afterwards."""
        self.flush()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _add(self, name: str, header: str, row: str) -> None:
        self._pending[name, header].append(row)
        self.rows += 1
        self._pending_rows += 1
        if self._pending_rows >= self._rows_per_flush:
            self.flush()

    def _cannot_write(self, error: OSError) -> RecordingError:
        return RecordingError(
            f"the recording in {self.folder} cannot be written: {error}",
            hint="choose a folder that can be written, on a disk with room",
        )


def _quote_row(quote: Quote, stamp: str) -> tuple[str, str, str]:
    """Return (kind of file, header, row) of the two sides of a quote."""
    instrument = quote.instrument
    bid, ask = _text(quote.bid), _text(quote.ask)
    bid_size, ask_size = _text(quote.bid_size), _text(quote.ask_size)
    if instrument.security_type is SecurityType.FOREX:
        pair = instrument.symbol + instrument.currency
        row = f"{stamp},{instrument.exchange.lower()},{pair},{bid},{ask}\n"
        return "forex", VENUE_QUOTES, row
    if _is_us_option(instrument):
        assert instrument.expiry is not None
        assert instrument.strike is not None
        name = (
            f"{instrument.symbol},{instrument.expiry:%Y%m%d},"
            f"{instrument.strike.normalize():f},{instrument.right}"
        )
        return "options", OPTION_QUOTES, f"{stamp},{name},{bid},{bid_size},{ask},{ask_size}\n"
    row = f"{stamp},{_symbol(instrument)},{bid},{bid_size},{ask},{ask_size},{bid},{ask}\n"
    return "quotes", QUOTES, row


def _is_us_option(instrument: Instrument) -> bool:
    return (
        instrument.security_type is SecurityType.OPTION
        and (instrument.exchange, instrument.currency) == ("SMART", "USD")
        and instrument.multiplier == 100
        and None not in (instrument.expiry, instrument.strike, instrument.right)
    )


def _symbol(instrument: Instrument) -> str:
    plain = Instrument.stock(instrument.symbol)
    return instrument.symbol if instrument is plain else instrument.id


def _text(value: float) -> str:
    return f"{value:.10g}" if math.isfinite(value) else ""


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _same(one: tuple[float, ...], other: tuple[float, ...] | None) -> bool:
    return other is not None and all(
        a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(one, other, strict=True)
    )
