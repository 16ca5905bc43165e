"""dashboard.png: seven charts under one line that says what is wrong."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alluse_core.analysis.grade import Grade
from alluse_report import findings, panels
from alluse_report.facts import Facts
from alluse_report.labels import Labels
from alluse_report.session import Session
from alluse_report.style import BLUE, INK, QUIET, SETTINGS, VERMILLION, Drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT, DPI = 19.2, 16.4, 100


def draw(
    path: Path, session: Session, facts: Facts, grade: Grade, labels: Labels, told: str
) -> list[Drawn]:
    """Write the picture, 1920 pixels wide, and return what each chart shows.

    ``told`` is the summary's first sentence.
    """
    figure, drawn = compose(session, facts, grade, labels, told)
    figure.savefig(path, dpi=DPI)
    return drawn


def compose(
    session: Session, facts: Facts, grade: Grade, labels: Labels, told: str
) -> tuple[Figure, list[Drawn]]:
    """Return the picture, not yet written, and what each chart shows."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: Any = SETTINGS
    with mpl.rc_context(settings):
        figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        _head(figure, facts, grade, labels, told)
        top = figure.add_gridspec(
            1, 3, left=0.05, right=0.955, top=0.868, bottom=0.665, wspace=0.34
        )
        middle = figure.add_gridspec(
            1, 2, left=0.095, right=0.975, top=0.595, bottom=0.365, wspace=0.42
        )
        below = figure.add_gridspec(
            1, 2, left=0.05, right=0.975, top=0.29, bottom=0.05, wspace=0.16
        )
        drawn = [
            panels.trading(figure.add_subplot(top[0]), session, facts),
            panels.market_data(figure.add_subplot(top[1]), session, facts),
            panels.resources(figure.add_subplot(top[2]), session, facts),
            findings.targets(figure.add_subplot(middle[0]), grade),
            findings.trends(figure.add_subplot(middle[1]), session),
            findings.anomalies(figure.add_subplot(below[0]), session),
            findings.forecasts(figure.add_subplot(below[1]), session),
        ]
        # Ticks are made when they are first drawn, and take their sizes from the settings then.
        figure.draw_without_rendering()
    return figure, drawn


def _head(figure: Figure, facts: Facts, grade: Grade, labels: Labels, told: str) -> None:
    letter = grade.letter or "incomplete"
    figure.text(0.02, 0.965, f"Grade {letter}", fontsize=30, weight="bold", va="center")
    span = facts.sentence(
        "[session.start:second] to [session.end:clock]: [session.ticks] ticks of"
        " [session.series] series, [session.completeness:.1f] of samples"
    ).text
    figure.text(0.98, 0.977, span, fontsize=13, ha="right", va="center", color=QUIET)
    origin = f"{labels.mode}  ·  {labels.profile} profile  ·  {labels.provenance}"
    figure.text(0.98, 0.952, origin, fontsize=13, ha="right", va="center", weight="bold")
    figure.text(0.02, 0.931, _fitted(told), fontsize=14, color=INK, va="center")
    wrong, color = _worst(facts), BLUE
    if facts.number("alerts.fired") or facts.number("orders.unknown") > 0 or grade.caps:
        color = VERMILLION
    figure.text(0.02, 0.908, _fitted(wrong), fontsize=14, color=color, va="center")


def _fitted(text: str) -> str:
    return textwrap.shorten(text, 170, placeholder=" …")


def _worst(facts: Facts) -> str:
    if not facts.number("alerts.fired"):
        return "● no alert fired"
    parts = [facts.sentence("▲ alerts: [alerts.fired] fired, [alerts.firing] still firing").text]
    number = 1
    while f"alert.{number}.rule" in facts:
        parts.append(facts.sentence(f"[alert.{number}.rule] ([alert.{number}.severity])").text)
        number += 1
    return "  ·  ".join(parts)
