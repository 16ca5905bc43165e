"""The three charts over time: trading, market data, resources."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from alluse_core.monitor.definitions import RATIO_SECONDS, RECENT_SECONDS
from alluse_report.facts import Facts
from alluse_report.session import Line, Session
from alluse_report.style import BLUE, ORANGE, VERMILLION, Drawn, time_axis, too_little

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST = 2
_MOST_NAMED = 3
# The height of a row of names, as a share of the chart.
_ROW = 0.085


@attrs.frozen
class _Curve:
    """A line over time, and the fact of the whole session that the title tells of it.

    ``name`` says over how long each of its points looks back. ``head`` is a template of facts.
    """

    name: str
    unit: str
    line: Line
    fact: str
    head: str


def trading(axes: Axes, session: Session, facts: Facts) -> Drawn:
    """Draw latency to acknowledgement and order throughput, with alerts shaded."""
    return _two(
        axes,
        session,
        facts,
        "Trading",
        _Curve(
            f"median latency, {RECENT_SECONDS:g} s",
            "ms",
            session.line("trading_system", "latency_ms"),
            "orders.latency_p50",
            "latency p50 [orders.latency_p50:.1f]",
        ),
        _Curve(
            f"orders, {RECENT_SECONDS:g} s",
            "1/s",
            session.line("trading_system", "throughput_ops_sec"),
            "orders.submitted",
            "[orders.submitted] orders",
        ),
    )


def market_data(axes: Axes, session: Session, facts: Facts) -> Drawn:
    """Draw read throughput and the cache's hit rate."""
    return _two(
        axes,
        session,
        facts,
        "Market data",
        _Curve(
            f"reads, {RECENT_SECONDS:g} s",
            "1/s",
            session.line("market_data_system", "throughput_ops_sec"),
            "market_data.reads_per_second",
            "reads [market_data.reads_per_second:.1f]",
        ),
        _Curve(
            f"cache hits, {RATIO_SECONDS:g} s",
            "%",
            session.line("market_data_system", "cache_hit_rate"),
            "market_data.hit_rate",
            "cache hits [market_data.hit_rate:.1f]",
        ),
    )


def resources(axes: Axes, session: Session, facts: Facts) -> Drawn:
    """Draw the host's processor use and the process's memory."""
    return _two(
        axes,
        session,
        facts,
        "Resources",
        _Curve(
            "cpu",
            "%",
            session.line("system_resources", "cpu_percent"),
            "resources.cpu_percent_mean",
            "cpu mean [resources.cpu_percent_mean:.0f]",
        ),
        _Curve(
            "memory",
            "MB",
            session.line("system_resources", "memory_usage_mb"),
            "resources.memory_usage_mb_max",
            "memory max [resources.memory_usage_mb_max:.0f]",
        ),
    )


def _two(
    axes: Axes, session: Session, facts: Facts, title: str, left: _Curve, right: _Curve
) -> Drawn:
    curves = [curve for curve in (left, right) if len(curve.line[0]) >= FEWEST]
    if not curves:
        return too_little(axes, title, "fewer than two samples of each metric: nothing to draw")
    fired = _fired(session)
    # Alerts are named above the lines, in as many rows as there are names.
    room = 1.08 + _ROW * len(fired[:_MOST_NAMED]) * 1.4
    for index, curve in enumerate(curves):
        _draw(axes if index == 0 else axes.twinx(), curve, session.times[0], room, second=index > 0)
    axes.set_xlim(0, max(session.seconds, 1.0))
    heads = ", ".join(curve.head for curve in curves)
    axes.set_title(f"{title}: {facts.sentence(heads).text}")
    _shade(axes, session, fired)
    time_axis(axes, session.times)
    return Drawn(
        title,
        tuple(
            (curve.name, curve.unit, len(curve.line[0]), _finite(facts.number(curve.fact)))
            for curve in (left, right)
        ),
    )


def _draw(axes: Axes, curve: _Curve, begin: float, room: float, *, second: bool) -> None:
    times, values = curve.line
    color = ORANGE if second else BLUE
    seconds = [at - begin for at in times]
    axes.plot(seconds, values, color=color, linewidth=1.8, label=curve.name)
    axes.set_ylabel(f"{curve.name} [{curve.unit}]", color=color)
    highest = 100.0 if curve.unit == "%" else max(*values, 1e-9)
    axes.set_ylim(bottom=min(0.0, *values), top=highest * room)
    if curve.unit == "%":
        # A share cannot be more than all: the room above it has no numbers.
        axes.set_yticks(range(0, 101, 20))
    if second:
        axes.grid(False)
        axes.spines["right"].set_visible(True)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


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
