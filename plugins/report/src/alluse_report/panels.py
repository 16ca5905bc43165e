"""The three charts over time: trading, market data, resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alluse_report.session import Line, Session
from alluse_report.style import BLUE, ORANGE, VERMILLION, Drawn, time_axis, too_little

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST = 2
_MOST_NAMED = 3
# The height of a row of names, as a share of the chart.
_ROW = 0.085


def trading(axes: Axes, session: Session) -> Drawn:
    """Draw latency to acknowledgement and order throughput, with alerts shaded."""
    title = "Trading"
    latency = session.line("trading_system", "latency_ms")
    rate = session.line("trading_system", "throughput_ops_sec")
    return _two(axes, session, title, ("latency", "ms", latency), ("orders", "1/s", rate))


def market_data(axes: Axes, session: Session) -> Drawn:
    """Draw read throughput and the cache's hit rate."""
    rate = session.line("market_data_system", "throughput_ops_sec")
    hits = session.line("market_data_system", "cache_hit_rate")
    return _two(axes, session, "Market data", ("reads", "1/s", rate), ("cache hits", "%", hits))


def resources(axes: Axes, session: Session) -> Drawn:
    """Draw the host's processor use and the process's memory."""
    cpu = session.line("system_resources", "cpu_percent")
    memory = session.line("system_resources", "memory_usage_mb")
    return _two(axes, session, "Resources", ("cpu", "%", cpu), ("memory", "MB", memory))


def _two(
    axes: Axes,
    session: Session,
    title: str,
    left: tuple[str, str, Line],
    right: tuple[str, str, Line],
) -> Drawn:
    shown = [item for item in (left, right) if len(item[2][0]) >= FEWEST]
    if not shown:
        return too_little(axes, title, "fewer than two samples of each metric: nothing to draw")
    begin = session.times[0]
    fired = _fired(session)
    # Alerts are named above the lines, in as many rows as there are names.
    room = 1.08 + _ROW * len(fired[:_MOST_NAMED]) * 1.4
    heads = []
    for index, (name, unit, (times, values)) in enumerate(shown):
        target = axes if index == 0 else axes.twinx()
        color = (BLUE, ORANGE)[index]
        target.plot([at - begin for at in times], values, color=color, linewidth=1.8, label=name)
        target.set_ylabel(f"{name} [{unit}]", color=color)
        highest = 100.0 if unit == "%" else max(*values, 1e-9)
        target.set_ylim(bottom=min(0.0, *values), top=highest * room)
        if unit == "%":
            # A share cannot be more than all: the room above it has no numbers.
            target.set_yticks(range(0, 101, 20))
        if index:
            target.grid(False)
            target.spines["right"].set_visible(True)
        heads.append(f"{name} {values[-1]:.4g} {unit}")
    axes.set_xlim(0, max(session.seconds, 1.0))
    axes.set_title(f"{title}: {', '.join(heads)}")
    _shade(axes, session, fired)
    time_axis(axes, session.times)
    return Drawn(
        title,
        tuple(
            (name, unit, len(line[0]), line[1][-1] if line[1] else None)
            for name, unit, line in (left, right)
        ),
    )


def _fired(session: Session) -> list[tuple[float, float, str]]:
    """Return (from, until, rule) of alerts that fired, in seconds of the session."""
    begin, end = session.times[0], session.times[-1]
    spans = [
        (
            max(0.0, alert.fired_at.timestamp() - begin),
            max(0.0, (alert.resolved_at.timestamp() if alert.resolved_at else end) - begin),
            alert.rule,
        )
        for alert in session.alerts
        if alert.fired_at is not None
    ]
    return sorted(spans)


def _shade(axes: Axes, session: Session, fired: list[tuple[float, float, str]]) -> None:
    """Shade the time in which alerts were firing, and name the first of them in rows above."""
    for begin, end, _ in fired:
        axes.axvspan(begin, end, color=VERMILLION, alpha=0.11, linewidth=0)
    span = max(session.seconds, 1.0)
    for row, (begin, end, rule) in enumerate(fired[:_MOST_NAMED]):
        more = len(fired) - _MOST_NAMED
        last = row == _MOST_NAMED - 1 and more > 0
        name = f"{rule}, {more} more alerts" if last else rule
        late = begin > 0.4 * span
        at = min(end, span) if late else begin
        axes.plot(
            [begin, min(end, span)],
            [0.99 - row * _ROW] * 2,
            transform=axes.get_xaxis_transform(),
            color=VERMILLION,
            linewidth=2,
            solid_capstyle="butt",
        )
        axes.text(
            at / span + (-0.008 if late else 0.008),
            0.98 - row * _ROW,
            name,
            transform=axes.transAxes,
            ha="right" if late else "left",
            va="top",
            fontsize=10,
            color=VERMILLION,
        )
