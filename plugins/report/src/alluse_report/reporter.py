"""Writes dashboard.png, report.json, summary.json and summary.md from the two databases."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import attrs

from alluse_core.analysis.grade import Grade
from alluse_core.errors import StateError, StoreError
from alluse_core.monitor.reader import SqliteMetricReader
from alluse_core.ports import ReportRequest
from alluse_report.document import report, summary, written
from alluse_report.facts import Facts, Sentence
from alluse_report.gather import gather
from alluse_report.labels import Labels, labels
from alluse_report.picture import draw
from alluse_report.session import Session, read_session
from alluse_report.summary import markdown, sentences


@attrs.frozen
class Account:
    """Everything that is said of a session, before it is written."""

    session: Session
    facts: Facts
    grade: Grade
    told: list[Sentence]
    labels: Labels


def account(metrics: Path, journal: Path | None) -> Account:
    """Return what there is to say of the newest session in the databases.

    Raises StoreError where the metric store is missing, damaged or empty.
    """
    with SqliteMetricReader(metrics) as reader:
        session = read_session(reader, journal)
    if not session.times:
        raise StoreError(
            f"metric store {metrics} holds no samples", hint="let the session run for a second"
        )
    facts, grade = gather(session)
    return Account(session, facts, grade, sentences(facts, grade), labels(session, facts))


class SessionReport:
    """The four files; each is replaced whole, so a reader never sees half of one."""

    name = "session"

    def write(self, request: ReportRequest) -> Sequence[Path]:
        """Write into ``request.out`` and return the paths."""
        told = account(request.metrics, request.journal)
        try:
            return self._write(told, request)
        except OSError as error:
            raise StateError(
                f"{request.out} cannot be written: {error.strerror}",
                hint="free disk space, or name another folder with --out",
            ) from error

    def _write(self, told: Account, request: ReportRequest) -> list[Path]:
        request.out.mkdir(parents=True, exist_ok=True)
        picture = request.out / "dashboard.png"
        unfinished = picture.with_name(".dashboard.unfinished.png")
        drawn = draw(
            unfinished, told.session, told.facts, told.grade, told.labels, told.told[0].text
        )
        os.replace(unfinished, picture)
        texts = {
            "report.json": written(
                report(
                    told.session,
                    told.facts,
                    told.grade,
                    told.told,
                    drawn,
                    told.labels,
                    request.settings,
                )
            ),
            "summary.json": written(summary(told.facts, told.grade, told.told, told.labels)),
            "summary.md": markdown(told.facts, told.grade, told.told, told.labels),
        }
        return [picture, *(_replaced(request.out / name, text) for name, text in texts.items())]


def _replaced(path: Path, text: str) -> Path:
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)
    return path
