"""The live view of a session: a table in a terminal, plain lines elsewhere. Goes to stderr."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TextIO

import attrs

_PLAIN_SECONDS = 5.0
_PLAIN_WIDTH = 120
_WRONG, _RIGHT = "bold #D55E00", "#0072B2"
_TABLE_HEAD = 2
_EVENT_LINES = 8
# Head, progress, orders, two lines of frame each for alerts and events, and one to stay clear of
# the terminal's last line, where drawing would scroll it.
_FIXED_LINES = 8


@attrs.frozen
class Row:
    """One headline figure; ``value`` None is not measured yet.

    ``digits`` follow the point; ``plain`` figures are few enough for a line without a terminal.
    """

    name: str
    value: float | None
    unit: str
    digits: int = 1
    plain: bool = False


@attrs.frozen
class View:
    """Everything one refresh shows, taken at one moment."""

    seconds: float
    total: float
    mode: str
    link: str
    headline: tuple[Row, ...]
    orders: Mapping[str, int]
    quotes: tuple[tuple[str, float, float, float, str], ...]
    alerts: tuple[str, ...]
    events: tuple[str, ...]


class Screen(Protocol):
    """Shows views until it is closed."""

    def show(self, view: View) -> None:
        """Show the newest view."""

    def close(self) -> None:
        """Give the terminal back."""


def open_screen(stream: TextIO = sys.stderr) -> Screen:
    """Return the table where there is a terminal, plain lines otherwise."""
    dumb = os.environ.get("TERM", "") in ("", "dumb")
    return RichScreen() if stream.isatty() and not dumb else PlainScreen(stream)


class PlainScreen:
    """One line at every event, and one every five seconds; none is wider than 120 columns."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told = 0
        self._last = -_PLAIN_SECONDS

    def show(self, view: View) -> None:
        for event in view.events[self._told :]:
            self._print(view, event)
        self._told = len(view.events)
        if view.seconds - self._last < _PLAIN_SECONDS:
            return
        self._last = view.seconds
        rows = [row for row in view.headline if row.plain and row.value is not None]
        figures = ", ".join(f"{row.name} {_figure(row)}" for row in rows)
        parts = (f"{view.mode} link {view.link}", _orders(view), figures)
        self._print(view, " | ".join(part for part in parts if part))

    def close(self) -> None:
        self._stream.flush()

    def _print(self, view: View, text: str) -> None:
        head = f"[{view.seconds:5.1f} s] "
        for line in textwrap.wrap(
            head + text, _PLAIN_WIDTH, subsequent_indent=" " * len(head), break_on_hyphens=False
        ):
            print(line, file=self._stream, flush=True)


class RichScreen:
    """A table that redraws itself, in whatever size the terminal has."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._live.start()

    def show(self, view: View) -> None:
        self._live.update(render(view, self._console.width, self._console.height))

    def close(self) -> None:
        self._live.stop()


def render(view: View, width: int, height: int) -> Any:
    """Return what rich draws of ``view`` in a terminal of this size.

    What is wrong comes first and is shown in full; what happened gets the lines that are left.
    """
    from rich.console import Group
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    inside = max(20, width - 4)
    clock = time.strftime("%H:%M:%S", time.gmtime())
    head = Text.assemble(
        (f" {view.mode} ", "bold reverse"),
        f"  link {view.link}  {clock} UTC  {view.seconds:.0f} of {view.total:.0f} s",
    )
    firing = _wrapped([f"▲ {alert}" for alert in view.alerts], inside)
    alerts = Text("\n".join(firing) or "● no alert is firing", _WRONG if firing else _RIGHT)
    left = height - _FIXED_LINES - max(1, len(firing)) - _TABLE_HEAD
    rows = max(len(view.headline), min(len(view.quotes), left - _EVENT_LINES))
    left = max(1, left - rows)
    events = _wrapped(view.events[-left:], inside)[-left:]
    return Group(
        head,
        Padding(ProgressBar(total=view.total, completed=min(view.seconds, view.total)), 0),
        Text(f"orders: {_orders(view) or 'none yet'}", no_wrap=True, overflow="ellipsis"),
        Panel(alerts, title="alerts"),
        _tables(attrs.evolve(view, quotes=view.quotes[:rows]), width),
        Panel(Text("\n".join(events)), title="what happened"),
    )


def _tables(view: View, width: int) -> Any:
    from rich.table import Table

    figures = Table(title="measured", box=None, pad_edge=False)
    figures.add_column("figure", no_wrap=True)
    figures.add_column("now", justify="right", no_wrap=True)
    for row in view.headline:
        figures.add_row(row.name, _figure(row))
    quotes = Table(title="quotes", box=None, pad_edge=False)
    for column in ("symbol", "bid", "ask", "age s", ""):
        side = "left" if column in ("symbol", "") else "right"
        quotes.add_column(column, justify=side, no_wrap=True)  # type: ignore[arg-type]
    for symbol, bid, ask, age, mark in view.quotes:
        quotes.add_row(symbol, _number(bid, 2), _number(ask, 2), _number(age, 1), mark)
    side_by_side = Table.grid(padding=(0, 4 if width < 100 else 12))
    side_by_side.add_row(figures, quotes)
    return side_by_side


def _orders(view: View) -> str:
    return ", ".join(
        f"{count} {state.lower().replace('_', ' ')}" for state, count in view.orders.items()
    )


def _wrapped(texts: Sequence[str], width: int) -> list[str]:
    return [
        line
        for text in texts
        for line in textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)
    ]


def _figure(row: Row) -> str:
    number = "-" if row.value is None else _number(row.value, row.digits)
    return number if number == "-" else f"{number} {row.unit}".strip()


def _number(value: float, digits: int) -> str:
    return "-" if value != value else f"{value:,.{digits}f}"
