"""The four charts of what was judged: targets, trends, anomalies, forecasts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from alluse_core.analysis.grade import Grade, Measured, Part
from alluse_core.model import Finding
from alluse_core.monitor.definitions import DEFINITIONS
from alluse_report.session import Session
from alluse_report.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    QUIET,
    SKY,
    VERMILLION,
    Drawn,
    shortened,
    time_axis,
    too_little,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PART_NAMES = {
    "availability": "link up",
    "errors": "order errors",
    "latency": "latency (Apdex)",
    "freshness_throughput": "reads answered",
    "resources": "within limits",
    "completeness": "samples there",
}
_MOST_TRENDS = 8
_MONITORING = ("alerts", "analysis", "cycles", "monitor")
_PERCENTILE = re.compile(r"\.(p\d+|mean|max|count)$")
_GOOD = 0.8
_LINEAR = 8.0


def targets(axes: Axes, grade: Grade) -> Drawn:
    """Draw each part of the grade as the share of its points it earned, worst first."""
    title = "Current against target"
    order = sorted(grade.parts, key=lambda part: (_earned(part), part.name), reverse=True)
    for row, part in enumerate(order):
        measured = part.measured is Measured.YES
        axes.barh(row, 100.0, color=GREY, height=0.62)
        if measured:
            color = BLUE if _earned(part) >= _GOOD else VERMILLION
            axes.barh(row, 100.0 * _earned(part), color=color, height=0.62)
        text = (
            f"{part.raw:.4g} {part.unit}, target {part.target:g}"
            if measured
            else part.measured.value
        )
        color = QUIET if not measured else INK if _earned(part) >= _GOOD else VERMILLION
        axes.text(102.0, row, text, va="center", fontsize=11, color=color)
    axes.set_yticks(range(len(order)), [_PART_NAMES[part.name] for part in order])
    axes.set_xlim(0, 152)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("points earned [% of the part's weight]")
    axes.grid(axis="y", visible=False)
    axes.set_title(title)
    return Drawn(
        title,
        tuple(
            (part.name, part.unit, int(part.samples), None if math.isnan(part.raw) else part.raw)
            for part in reversed(order)
        ),
    )


def _earned(part: Part) -> float:
    return part.points / part.weight if part.weight else math.inf


def trends(axes: Axes, session: Session) -> Drawn:
    """Draw slopes of the surest trends with their intervals, each in its own noise."""
    title = "Trends"
    found = [finding for finding in session.findings if finding.kind == "trend"]
    judged = [f for f in found if f.facts.get("verdict") != "too short to tell"]
    judged = [f for f in judged if _number(f.facts.get("slope_high")) is not None]
    if not judged:
        return too_little(axes, title, _short("trend", found))
    judged.sort(
        key=lambda f: (
            f.facts["verdict"] == "no trend",
            about_itself(f),
            _or(f.facts.get("p"), 1.0),
        )
    )
    real = sum(f.facts["verdict"] != "no trend" for f in judged)
    shown = one_of_each(f for f in judged if _half_width(f) > 0)[:_MOST_TRENDS][::-1]
    if not shown:
        return too_little(axes, title, f"{len(judged)} metrics judged, none of them moves")
    for row, finding in enumerate(shown):
        low, middle, high = (
            _or(finding.facts[name], 0.0) / _half_width(finding)
            for name in ("slope_low", "slope_per_hour", "slope_high")
        )
        color = QUIET if finding.facts["verdict"] == "no trend" else VERMILLION
        axes.plot([low, high], [row, row], color=color, linewidth=3, solid_capstyle="butt")
        axes.plot([middle], [row], "o", color=color, markersize=8)
    axes.axvline(0.0, color=INK, linewidth=1)
    labels = [f"{_name(f)}\n{_slope(f)}" for f in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize=10)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    reach = max(
        abs(_or(f.facts[name], 0.0)) / _half_width(f)
        for f in shown
        for name in ("slope_low", "slope_high")
    )
    if reach > _LINEAR:
        axes.set_xscale("symlog", linthresh=2.0)
    axes.set_xlim(-1.15 * max(reach, 2.0), 1.15 * max(reach, 2.0))
    axes.set_xlabel("slope [half-widths of its 95 % interval]")
    axes.set_title(f"{title}: {real} of {len(judged)} metrics, the others could be chance")
    return Drawn(
        title,
        tuple(
            (
                str(f.series),
                f"{f.series.unit if f.series else ''}/h",
                int(_or(f.facts.get("n"), 0)),
                _number(f.facts["slope_per_hour"]),
            )
            for f in reversed(shown)
        ),
    )


def about_itself(finding: Finding) -> bool:
    """Return whether a finding is about the monitoring, which is told after what it monitors."""
    return finding.series is None or finding.series.component in _MONITORING


def one_of_each(found: Iterable[Finding]) -> list[Finding]:
    """Return the first finding of each timer: p50, p90 and p99 of one timer tell one thing."""
    first: dict[tuple[str, str, object], Finding] = {}
    for finding in found:
        series = finding.series
        if series is not None:
            timer = _PERCENTILE.sub("", series.metric)
            first.setdefault((series.component, timer, series.labels), finding)
    return list(first.values())


def _name(finding: Finding, most: int = 34) -> str:
    return "" if finding.series is None else shortened(finding.series, most)


def _slope(finding: Finding) -> str:
    unit = finding.series.unit if finding.series else ""
    if finding.facts.get("as_rate"):
        unit = f"{unit or '1'}/s"
    return f"{_or(finding.facts['slope_per_hour'], 0.0):+.3g} {unit or '1'}/h"


def _half_width(finding: Finding) -> float:
    high, low = finding.facts["slope_high"], finding.facts["slope_low"]
    return (_or(high, 0.0) - _or(low, 0.0)) / 2.0


def anomalies(axes: Axes, session: Session) -> Drawn:
    """Draw the share of metrics that were anomalous at once, and name the worst metrics."""
    title = "Anomalies"
    node = next((f for f in session.findings if f.kind == "node_anomaly_rate"), None)
    times = node.points.get("times", ()) if node is not None else ()
    if node is None or len(times) < 2:
        return too_little(axes, title, _short("node_anomaly_rate", session.findings))
    begin = session.times[0]
    rate = node.points["rate"]
    at = [time - begin for time in times]
    top = max(*rate, 1.0)
    if at[0] > 1.0:
        axes.axvspan(0, at[0], color=GREY, linewidth=0)
        axes.text(at[0] / 2, top * 0.5, "not judged yet", ha="center", color=QUIET)
    axes.fill_between(at, rate, step="mid", color=VERMILLION, alpha=0.85, linewidth=0)
    worst = [f for f in session.findings if f.kind == "anomaly"]
    worst = one_of_each(sorted(worst, key=about_itself))[:3]
    axes.set_ylim(0, top * (1.25 + 0.13 * len(worst)))
    axes.set_xlim(0, max(session.seconds, 1.0))
    axes.set_ylabel("metrics anomalous at once [%]")
    lines = [f"{_name(f, 60)}: {_or(f.facts['peak'], 0.0):.1f}x its threshold" for f in worst]
    axes.text(0.02, 0.97, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=11)
    axes.set_title(
        f"{title}: {node.facts['anomalous_metrics']} of {node.facts['metrics']} metrics,"
        f" at most {_or(node.facts['rate_max'], 0.0):.1f} % at once"
    )
    time_axis(axes, session.times)
    names = [
        (str(f.series), "x threshold", int(_or(f.facts["events"], 0)), _number(f.facts["peak"]))
        for f in worst
    ]
    return Drawn(
        title, (("node anomaly rate", "%", len(rate), _number(node.facts["rate_max"])), *names)
    )


def forecasts(axes: Axes, session: Session) -> Drawn:
    """Draw the metric whose forecast moves most, with its 80 and 95 % intervals."""
    title = "Forecast"
    found = [finding for finding in session.findings if finding.kind == "forecast"]
    fans = [f for f in found if f.points.get("times") and f.series in session.lines]
    if not fans:
        return too_little(axes, title, _short("forecast", found))
    chosen = _most_telling(fans)
    assert chosen.series is not None
    begin = session.times[0]
    ahead = [at - begin for at in chosen.points["times"]]
    fan = chosen.points
    axes.fill_between(ahead, fan["low95"], fan["high95"], color=SKY, alpha=0.25, label="95 %")
    axes.fill_between(ahead, fan["low80"], fan["high80"], color=SKY, alpha=0.55, label="80 %")
    axes.plot(ahead, fan["median"], color=ORANGE, linewidth=2.2, label="median")
    drawn_times = list(ahead)
    if not chosen.facts.get("as_rate"):
        times, values = session.lines[chosen.series]
        held = [(at - begin, value) for at, value in zip(times, values, strict=True)]
        shown = held[-max(60, 4 * round(ahead[-1] - ahead[0])) :]
        drawn_times += [at for at, _ in shown]
        axes.plot(*zip(*shown, strict=True), color=BLUE, linewidth=1.2, label="measured")
    unit = f"{chosen.series.unit or '1'}{'/s' if chosen.facts.get('as_rate') else ''}"
    axes.set_ylabel(f"{chosen.series.metric[:28]} [{unit}]")
    axes.set_title(f"{title}: {shortened(chosen.series, 44)}")
    axes.text(
        0.02, 0.97, _trust(chosen), transform=axes.transAxes, va="top", fontsize=11, color=INK
    )
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.30 * (high - low))
    axes.legend(
        loc="upper left", bbox_to_anchor=(0.0, 0.93), ncols=4, handlelength=1.2, columnspacing=1.0
    )
    time_axis(axes, drawn_times)
    return Drawn(
        title,
        tuple(
            (
                str(f.series),
                f.series.unit if f.series else "",
                int(_or(f.facts["scored"], 0)),
                _number(f.facts["median"]),
            )
            for f in [chosen, *(f for f in fans if f is not chosen)]
        ),
        _trust(chosen),
    )


def _most_telling(fans: list[Finding]) -> Finding:
    """Return a headline metric's forecast before others, a calibrated one before the rest."""
    headline = {(known.component, known.metric) for known in DEFINITIONS}

    def worth(finding: Finding) -> tuple[bool, bool, bool]:
        series = finding.series
        return (
            series is None or (series.component, series.metric) not in headline,
            bool(finding.facts.get("as_rate")),
            finding.facts.get("confidence") != "calibrated",
        )

    return min(fans, key=worth)


def _trust(finding: Finding) -> str:
    facts = finding.facts
    horizon = _or(facts["horizon_seconds"], 0.0)
    ahead = f"{horizon / 60:g} min" if horizon >= 120 else f"{horizon:g} s"
    held = _number(facts.get("coverage80"))
    scored = f"{facts['scored']} past forecasts scored"
    if facts.get("confidence") == "calibrated" and held is not None:
        scored = f"its 80 % intervals held {100 * held:.0f} % of {facts['scored']} past ones"
    else:
        scored = f"uncalibrated ({scored})"
    return f"{ahead} ahead, {facts['profile']} profile; {scored}"


def _short(kind: str, found: list[Finding] | tuple[Finding, ...]) -> str:
    text = next((f.text for f in found if f.kind == kind and f.series is None), "")
    return text or ("too short to tell" if any(f.kind == kind for f in found) else "not analysed")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _or(value: object, otherwise: float) -> float:
    number = _number(value)
    return otherwise if number is None else number
