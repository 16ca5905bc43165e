"""The live view of a session: a table in a terminal, plain lines elsewhere. Goes to stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

import attrs


@attrs.frozen
class Row:
    """One headline figure; ``value`` None is not measured yet."""

    name: str
    value: float | None
    unit: str


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
    """One line at every event, and one every five seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told = 0
        self._last = -5.0

    def show(self, view: View) -> None:
        for event in view.events[self._told :]:
            print(f"[{view.seconds:5.1f} s] {event}", file=self._stream, flush=True)
        self._told = len(view.events)
        if view.seconds - self._last < 5.0:
            return
        self._last = view.seconds
        figures = ", ".join(f"{row.name} {_figure(row)}" for row in view.headline)
        orders = ", ".join(f"{count} {state.lower()}" for state, count in view.orders.items())
        line = f"[{view.seconds:5.1f} s] {view.mode} link {view.link}; {orders}; {figures}"
        print(line, file=self._stream, flush=True)

    def close(self) -> None:
        self._stream.flush()


class RichScreen:
    """A table that redraws itself."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
        self._live.start()

    def show(self, view: View) -> None:
        self._live.update(_render(view))

    def close(self) -> None:
        self._live.stop()


def _figure(row: Row) -> str:
    return "-" if row.value is None else f"{row.value:,.4g} {row.unit}".strip()


def _render(view: View) -> Any:
    from rich.columns import Columns
    from rich.console import Group
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    figures = Table(title="measured", box=None, pad_edge=False)
    figures.add_column("figure")
    figures.add_column("now", justify="right")
    for row in view.headline:
        figures.add_row(row.name, _figure(row))
    quotes = Table(title="quotes", box=None, pad_edge=False)
    for column in ("symbol", "bid", "ask", "age s", ""):
        quotes.add_column(column, justify="left" if column in ("symbol", "") else "right")
    for symbol, bid, ask, age, mark in view.quotes:
        quotes.add_row(symbol, f"{bid:,.2f}", f"{ask:,.2f}", f"{age:.1f}", mark)
    orders = Table(title="orders", box=None, pad_edge=False)
    orders.add_column("state")
    orders.add_column("count", justify="right")
    for state, count in view.orders.items():
        orders.add_row(state, str(count))
    clock = time.strftime("%H:%M:%S", time.gmtime())
    head = Text.assemble(
        (f" {view.mode} ", "bold reverse"),
        f"  link {view.link}  {clock} UTC  {view.seconds:.0f} of {view.total:.0f} s  ",
    )
    firing = [Text(f"▲ {line}", style="bold #D55E00") for line in view.alerts]
    alerts = Group(*(firing or [Text("● no alert is firing", style="#0072B2")]))
    events = Group(*(Text(line) for line in view.events[-6:]))
    return Group(
        head,
        ProgressBar(total=view.total, completed=min(view.seconds, view.total)),
        Panel(alerts, title="alerts"),
        Columns([figures, orders, quotes], padding=(0, 4)),
        Panel(events, title="what happened"),
    )
