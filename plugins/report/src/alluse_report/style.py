"""How charts look: one palette (Okabe & Ito 2008), grey where there is too little data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from alluse_core.model import SeriesId

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE = "#0072B2"
VERMILLION = "#D55E00"
SKY = "#56B4E9"
ORANGE = "#E69F00"
INK = "#222222"
QUIET = "#767676"
GREY = "#EDEDED"
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480)
_MOST_TICKS = 7

SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "axes.titlesize": 14,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 12,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 11,
}


@attrs.frozen
class Drawn:
    """What a chart shows, for report.json: its title, and (name, unit, samples, figure) lines.

    The figure is the one that the title or the row tells.
    """

    title: str
    lines: tuple[tuple[str, str, int, float | None], ...]
    note: str = ""


def too_little(axes: Axes, title: str, reason: str) -> Drawn:
    """Draw a grey panel that says why it is empty."""
    axes.set_title(title)
    axes.set_facecolor(GREY)
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(
        0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", color=QUIET, wrap=True
    )
    return Drawn(title, (), reason)


def time_axis(axes: Axes, times: Sequence[float]) -> None:
    """Label the horizontal axis, which is in seconds, at whole seconds, minutes or hours."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    span = max(times) - min(times) if times else 0.0
    size, unit = next(
        (size, unit)
        for least, size, unit in ((7200, 3600.0, "h"), (180, 60.0, "min"), (-1, 1.0, "s"))
        if span > least
    )
    step = next((step for step in _STEPS if span / size / step <= _MOST_TICKS), _STEPS[-1])
    axes.xaxis.set_major_locator(MultipleLocator(step * size))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / size:g}"))
    axes.set_xlabel(f"time since the first tick [{unit}]")


def shortened(series: SeriesId, most: int = 34) -> str:
    """Return a series name that fits: without its component, or then without its middle."""
    name = str(series)
    if len(name) > most:
        name = " ".join((series.metric, *(value for _, value in series.labels)))
    if len(name) <= most:
        return name
    head = most // 2 - 1
    return f"{name[:head]}…{name[-(most - head - 1) :]}"
