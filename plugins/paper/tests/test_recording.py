"""Reading and writing recordings."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import islice, pairwise
from pathlib import Path

import pytest
from alluse_paper.market import QuoteEvent, TradeEvent
from alluse_paper.recording import Recording, RecordingWriter
from alluse_paper.rows import BARS, PRINTS, QUOTES, SIDES, VENUE_QUOTES

from alluse_core.errors import RecordingError
from alluse_core.model.instrument import Instrument, SecurityType
from alluse_core.model.quote import Quote

IBM = Instrument.stock("IBM")


def write(path: Path, header: str, *rows: str) -> Path:
    with gzip.open(path, "wt") as stream:
        stream.write("\n".join((header, *rows)) + "\n")
    return path


def test_a_top_of_book_row_becomes_a_quote(tmp_path: Path) -> None:
    file = write(tmp_path / "q.csv.gz", QUOTES, "2013-10-07T13:30:00.250Z,IBM,1,2,3,4,1,3")
    (event,) = Recording(file).events()
    assert isinstance(event, QuoteEvent)
    assert event.instrument is IBM
    assert event.time == datetime(2013, 10, 7, 13, 30, 0, 250_000, tzinfo=UTC).timestamp()
    assert (event.bid, event.bid_size, event.ask, event.ask_size) == (1, 2, 3, 4)


def test_a_bar_of_trades_keeps_its_range(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv.gz", BARS, "2013-10-07T13:30:00.000Z,IBM,10,12,9,11,500")
    (event,) = Recording(file).events()
    assert isinstance(event, TradeEvent)
    assert (event.price, event.size, event.low, event.high) == (11, 500, 9, 12)


def test_one_sided_rows_are_joined_to_a_top_of_book_and_suspicious_ones_passed_over(
    tmp_path: Path,
) -> None:
    file = write(
        tmp_path / "s.csv.gz",
        SIDES,
        "2013-10-07T13:25:02.299Z,IBM,181.52,100,,0,P,1,0",
        "2013-10-07T13:25:02.299Z,IBM,,0,181.75,400,P,1,0",
        "2013-10-07T13:25:02.300Z,IBM,999,100,,0,P,1,1",
        "2013-10-07T13:25:02.301Z,IBM,181.53,300,,0,Q,1,0",
    )
    first, second, third = Recording(file).events()
    assert isinstance(first, QuoteEvent)
    assert math.isnan(first.ask)
    assert isinstance(second, QuoteEvent)
    assert (second.bid, second.ask, second.ask_size) == (181.52, 181.75, 400)
    assert isinstance(third, QuoteEvent)
    assert (third.bid, third.bid_size, third.ask) == (181.53, 300, 181.75)


def test_a_suspicious_print_is_marked(tmp_path: Path) -> None:
    file = write(tmp_path / "p.csv.gz", PRINTS, "2013-10-07T13:25:28.906Z,IBM,1,100,P,2000,1")
    (event,) = Recording(file).events()
    assert isinstance(event, TradeEvent)
    assert event.suspicious


def test_two_venues_of_one_pair_are_two_instruments(tmp_path: Path) -> None:
    file = write(
        tmp_path / "fx.csv.gz",
        VENUE_QUOTES,
        "2014-05-06T05:00:00.076Z,fxcm,NZDUSD,0.86939,0.86946",
        "2014-05-06T05:00:00.077Z,oanda,NZDUSD,0.8694,0.86930",
    )
    one, other = Recording(file).events()
    assert one.instrument is Instrument.forex("NZDUSD", exchange="FXCM")
    assert other.instrument is Instrument.forex("NZDUSD", exchange="OANDA")
    assert isinstance(other, QuoteEvent)
    assert other.bid > other.ask, "a crossed row is passed on as it was recorded"


def test_files_of_a_folder_are_merged_by_time(tmp_path: Path) -> None:
    write(
        tmp_path / "a.csv.gz",
        QUOTES,
        "2013-10-07T13:30:00.000Z,IBM,1,2,3,4,1,3",
        "2013-10-07T13:30:02.000Z,IBM,1,2,3,4,1,3",
    )
    below = tmp_path / "below"
    below.mkdir()
    write(below / "b.csv.gz", BARS, "2013-10-07T13:30:01.000Z,IBM,10,12,9,11,500")
    kinds = [type(event).__name__ for event in Recording(tmp_path).events()]
    assert kinds == ["QuoteEvent", "TradeEvent", "QuoteEvent"]


def test_a_row_that_goes_back_in_time_is_kept_and_counted(tmp_path: Path) -> None:
    file = write(
        tmp_path / "q.csv.gz",
        QUOTES,
        "2013-10-07T13:30:05.000Z,IBM,1,2,3,4,1,3",
        "2013-10-07T13:30:04.000Z,IBM,5,2,6,4,1,3",
    )
    recording = Recording(file)
    one, other = recording.events()
    assert one.time == other.time
    assert recording.disordered == 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda p: p.write_bytes(b"time,symbol\n"), "cannot be read as gzip"),
        (lambda p: p.write_bytes(b""), "columns"),
        (lambda p: write(p, "when,what"), "line 1: no recording has the columns 'when,what'"),
        (lambda p: write(p, QUOTES, "2013-10-07T13:30:00.000Z,IBM,1,2,x,4,1,3"), "line 2"),
        (
            lambda p: write(
                p,
                QUOTES,
                "2013-10-07T13:30:00.000Z,IBM,1,2,3,4,1,3",
                "2013-10-07 13:30,IBM,1,2,3,4,1,3",
            ),
            "line 3",
        ),
        (lambda p: write(p, QUOTES, "2013-10-07T13:30:00.000Z,IBM,1"), "line 2"),
    ],
)
def test_what_cannot_be_read_is_a_typed_error_with_its_place(
    tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    path = tmp_path / "bad.csv.gz"
    spoil(path)
    with pytest.raises(RecordingError, match=r"bad\.csv\.gz") as caught:
        list(Recording(path).events())
    assert says in str(caught.value)
    assert caught.value.hint


def test_a_file_that_was_cut_short_is_a_typed_error(tmp_path: Path) -> None:
    rows = [f"2013-10-07T13:30:{n:02}.000Z,IBM,{n}.{n},2,3,4,1,3" for n in range(60)]
    path = write(tmp_path / "cut.csv.gz", QUOTES, *rows)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordingError, match="cannot be read as gzip"):
        list(Recording(path).events())


def test_a_folder_without_recordings_and_a_missing_path_are_typed_errors(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="holds no"):
        Recording(tmp_path)
    with pytest.raises(RecordingError, match="there is no recording"):
        Recording(tmp_path / "nowhere")


def test_what_the_writer_wrote_the_reader_reads(tmp_path: Path) -> None:
    time = datetime(2026, 1, 5, 14, 30, 0, 123_000, tzinfo=UTC)
    option = Instrument.option("AAPL", date(2026, 2, 20), "187.5", "C")
    future = Instrument.future("ES", date(2026, 3, 20), "CME", multiplier=50)
    quotes = [
        Quote(IBM, bid=100.01, bid_size=300, ask=100.03, ask_size=200, time=time),
        Quote(Instrument.forex("EURUSD"), bid=1.08123, ask=1.08125, time=time),
        Quote(option, bid=1.05, bid_size=7, ask=math.nan, time=time),
        Quote(future, bid=5600.25, bid_size=3, ask=5600.5, ask_size=4, time=time),
        Quote(IBM, bid=100.02, bid_size=1, ask=100.03, ask_size=2, last=100.03, last_size=100,
              volume=100, time=time),
        Quote(IBM, bid=100.01, bid_size=1, ask=100.03, ask_size=2, last=100.03, last_size=100,
              volume=100, time=time),
    ]  # fmt: skip
    with RecordingWriter(tmp_path, rows_per_flush=2) as writer:
        for quote in quotes:
            writer.write(quote)
    events = list(Recording(tmp_path).events())
    read = {
        (event.instrument, event.bid, event.ask if event.ask == event.ask else None)
        for event in events
        if isinstance(event, QuoteEvent)
    }
    assert read == {
        (each.instrument, each.bid, each.ask if each.ask == each.ask else None) for each in quotes
    }
    trades = [event for event in events if isinstance(event, TradeEvent)]
    assert [(trade.price, trade.size) for trade in trades] == [(100.03, 100)], "written once"
    assert {event.time for event in events} == {time.timestamp()}


def test_what_was_flushed_is_readable_though_the_writer_never_ended(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path)
    writer.write(Quote(IBM, bid=1.0, ask=2.0), datetime(2026, 1, 5, tzinfo=UTC))
    writer.flush()
    writer.write(Quote(IBM, bid=1.0, ask=2.0), datetime(2026, 1, 5, tzinfo=UTC))
    assert len(list(Recording(tmp_path).events())) == 1


def test_a_quote_without_any_time_cannot_be_recorded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a time"):
        RecordingWriter(tmp_path).write(Quote(IBM, bid=1.0))


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="cannot be written"):
        RecordingWriter(tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("folder", "kinds", "instruments"),
    [
        ("us_equity_second", {SecurityType.STOCK}, 4),
        ("us_equity_tick", {SecurityType.STOCK}, 2),
        ("fx_tick_two_venues", {SecurityType.FOREX}, 4),
        ("options_minute", {SecurityType.OPTION, SecurityType.STOCK, SecurityType.INDEX}, 2391),
    ],
)
def test_the_real_recordings_are_read_in_the_order_of_time(
    recordings: Path, folder: str, kinds: set[SecurityType], instruments: int
) -> None:
    recording = Recording(recordings / folder)
    listings = recording.listings()
    assert {listing.instrument.security_type for listing in listings} == kinds
    assert len(listings) == instruments
    assert len({listing.con_id for listing in listings}) == instruments
    times = [event.time for event in islice(recording.events(), 60_000)]
    assert all(a <= b for a, b in pairwise(times))
    assert len(times) == 60_000
    assert recording.disordered == 0


def test_joined_ticks_equal_the_top_of_book_of_the_same_seconds(recordings: Path) -> None:
    ticks: dict[int, tuple[float, float]] = {}
    for event in Recording(recordings / "us_equity_tick" / "bac_20131007_quotes.csv.gz").events():
        assert isinstance(event, QuoteEvent)
        ticks[int(event.time)] = (event.bid, event.ask)
    compared = agreed = 0
    for event in Recording(recordings / "us_equity_second" / "quotes_20131007.csv.gz").events():
        if event.instrument.symbol == "BAC" and int(event.time) in ticks:
            assert isinstance(event, QuoteEvent)
            compared += 1
            agreed += ticks[int(event.time)] == (event.bid, event.ask)
    assert compared > 4_000
    assert agreed / compared > 0.999
