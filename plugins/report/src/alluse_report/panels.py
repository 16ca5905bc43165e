"""The three charts over time: trading, market data, resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alluse_report.session import Line, Session
from alluse_report.style import BLUE, ORANGE, VERMILLION, Drawn, time_axis, too_little

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST = 2
# Room above the lines for what is written there.
_HEADROOM = 1.25


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
    heads = []
    for index, (name, unit, (times, values)) in enumerate(shown):
        target = axes if index == 0 else axes.twinx()
        color = (BLUE, ORANGE)[index]
        target.plot([at - begin for at in times], values, color=color, linewidth=1.8, label=name)
        target.set_ylabel(f"{name} [{unit}]", color=color)
        target.set_ylim(bottom=min(0.0, *values), top=max(*values, 1e-9) * _HEADROOM)
        if index:
            target.grid(False)
            target.spines["right"].set_visible(True)
        heads.append(f"{name} {values[-1]:.4g} {unit}")
    axes.set_xlim(0, max(session.seconds, 1.0))
    axes.set_title(f"{title}: {', '.join(heads)}")
    _shade_alerts(axes, session)
    time_axis(axes, session.times)
    return Drawn(
        title,
        tuple(
            (name, unit, len(line[0]), line[1][-1] if line[1] else None)
            for name, unit, line in (left, right)
        ),
    )


def _shade_alerts(axes: Axes, session: Session) -> None:
    """Shade the time in which any alert was firing."""
    begin, end = session.times[0], session.times[-1]
    labelled = False
    for alert in session.alerts:
        if alert.fired_at is None:
            continue
        until = alert.resolved_at.timestamp() if alert.resolved_at else end
        axes.axvspan(
            max(0.0, alert.fired_at.timestamp() - begin),
            max(0.0, until - begin),
            color=VERMILLION,
            alpha=0.12,
            linewidth=0,
        )
        labelled = True
    if labelled:
        axes.text(
            0.015,
            0.975,
            "▒ alert firing",
            transform=axes.transAxes,
            va="top",
            fontsize=11,
            color=VERMILLION,
        )
