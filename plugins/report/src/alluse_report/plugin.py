"""Registers alluse-report with ALL-USE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from alluse_core.markers import hookimpl
from alluse_core.providers import Command, Context, Provider

if TYPE_CHECKING:
    from alluse_core.ports import Reporter


def _open_session(context: Context) -> Reporter:
    from alluse_report.reporter import SessionReport

    return SessionReport()


@hookimpl
def alluse_reporters() -> Iterator[Provider[Reporter]]:
    """Offer the report of a session."""
    yield Provider(
        "session", _open_session, help="dashboard.png, report.json, summary.json, summary.md"
    )


@hookimpl
def alluse_commands() -> Iterator[Command]:
    """Offer ``alluse report``."""
    yield Command(
        "report", "Write picture, report and summary of a session.", "alluse_report.cli:report"
    )
