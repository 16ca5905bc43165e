"""What a person sees during a session, in any terminal and in none."""

from __future__ import annotations

import io

import pytest
from alluse_demo.screen import PlainScreen, Row, View, render
from rich.console import Console

LONG = "waiting for the pacer p99 945.3 ms over 85 orders in 10 s; submit to wire p90 1002.0 ms"


def _view(seconds: float = 12.0, alerts: int = 2, shares: int = 20) -> View:
    return View(
        seconds=seconds,
        total=60.0,
        mode="PAPER",
        link="up",
        headline=(
            Row("orders", 12.25, "/s", plain=True),
            Row("order latency", 1974.04, "ms", plain=True),
            Row("order errors", 0.0, "%", 2, plain=True),
            Row("cache hits", None, "%", plain=True),
            *(Row(f"figure {number}", 1234.5, "MB", 0) for number in range(4)),
        ),
        orders={"ACCEPTED": 76, "CANCELED": 412, "PARTIALLY_FILLED": 3, "FILLED": 120},
        quotes=tuple((f"SYM{number}", 559.9, 559.91, 0.2, "") for number in range(shares)),
        alerts=tuple(f"critical {number}: {LONG}" for number in range(alerts)),
        events=tuple(f"event {number}: {LONG}" for number in range(30)),
    )


def _drawn(view: View, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=False)
    with console.capture() as capture:
        console.print(render(view, width, height))
    return capture.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (140, 45), (200, 60)])
@pytest.mark.parametrize("alerts", [0, 1, 2])
def test_the_table_fits_its_terminal_and_shows_alerts_in_full(
    width: int, height: int, alerts: int
) -> None:
    lines = _drawn(_view(alerts=alerts), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(line.strip("│╭╮╰╯─ ") for line in lines).split())
    assert "PAPER" in text
    assert text.count("submit to wire p90 1002.0 ms") >= alerts
    assert "1,974.0 ms" in text
    assert "76 accepted" in text


def test_a_figure_that_nothing_measured_is_a_dash_and_not_a_number() -> None:
    view = _view()
    assert "cache hits -" in " ".join(" ".join(_drawn(view, 80, 24)).split())
    stream = io.StringIO()
    PlainScreen(stream).show(view)
    assert "cache hits" not in stream.getvalue()


def test_lines_without_a_terminal_are_at_most_120_columns_and_each_event_is_told_once() -> None:
    stream = io.StringIO()
    screen = PlainScreen(stream)
    for seconds in (12.0, 12.5, 17.5):
        screen.show(_view(seconds))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 120
    assert sum("event 29:" in line for line in lines) == 1
    assert sum("PAPER" in line for line in lines) == 2
