"""report.json and summary.json as values, and the schema they follow."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources
from typing import Any

import attrs

from alluse_core.analysis.grade import Grade
from alluse_core.model import Alert, Finding
from alluse_report.facts import Facts, Sentence, to_json
from alluse_report.incidents import Incident, Peak, incidents, utc
from alluse_report.labels import Labels
from alluse_report.session import Session
from alluse_report.style import Drawn

SCHEMA_VERSION = "1"
SCHEMA_FILE = "report.schema.json"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of report.json."""
    text = resources.files("alluse_report").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    return dict(json.loads(text))


def report(
    session: Session,
    facts: Facts,
    grade: Grade,
    told: Sequence[Sentence],
    drawn: Sequence[Drawn],
    labels: Labels,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return report.json: everything that the picture and the summary say, and what is behind."""
    return {
        "schema_version": SCHEMA_VERSION,
        "labels": attrs.asdict(labels),
        "node": attrs.asdict(session.node),
        "facts": to_json(facts),
        "grade": grade_to_json(grade),
        "summary": [attrs.asdict(sentence) for sentence in told],
        "incidents": [_incident(incident) for incident in incidents(session)],
        "alerts": [_alert(alert) for alert in session.alerts],
        "findings": [_finding(finding) for finding in session.findings],
        "charts": [_chart(chart) for chart in drawn],
        "settings": {name: _plain(value) for name, value in settings.items()},
    }


def summary(facts: Facts, grade: Grade, told: Sequence[Sentence], labels: Labels) -> dict[str, Any]:
    """Return summary.json: the grade, the sentences, and the facts they refer to."""
    used = {name for sentence in told for name in sentence.facts}
    return {
        "schema_version": SCHEMA_VERSION,
        "labels": attrs.asdict(labels),
        "grade": grade_to_json(grade),
        "sentences": [attrs.asdict(sentence) for sentence in told],
        "facts": to_json({name: fact for name, fact in facts.items() if name in used}),
    }


def written(value: Any) -> str:
    """Return a document as text; a NaN in it is an error, not a document."""
    return json.dumps(_listed(value), indent=1, allow_nan=False) + "\n"


def grade_to_json(grade: Grade) -> dict[str, Any]:
    """Return a grade as JSON values; NaN as None."""
    return dict(_plain(attrs.asdict(grade)))


def _alert(alert: Alert) -> dict[str, Any]:
    def iso(time: datetime | None) -> str | None:
        return None if time is None else time.isoformat()

    return {
        "id": alert.id,
        "rule": alert.rule,
        "labels": dict(alert.labels),
        "severity": alert.severity.value,
        "state": alert.state.value,
        "value": _plain(alert.value),
        "threshold": _plain(alert.threshold),
        "fired_value": _plain(alert.fired_value),
        "fired_threshold": _plain(alert.fired_threshold),
        "unit": alert.unit,
        "text": alert.text,
        "pending_at": iso(alert.pending_at),
        "fired_at": iso(alert.fired_at),
        "resolved_at": iso(alert.resolved_at),
    }


def _incident(incident: Incident) -> dict[str, Any]:
    def watched(peak: Peak | None) -> dict[str, Any] | None:
        return None if peak is None else attrs.asdict(peak)

    return {
        "began": utc(incident.began),
        "ended": None if incident.ongoing else utc(incident.ended),
        "seconds": incident.ended - incident.began,
        "alerts": [
            {**_alert(alert), "peak": watched(peak)}
            for alert, peak in zip(incident.alerts, incident.peaks, strict=True)
        ],
        "orders": None if incident.orders is None else attrs.asdict(incident.orders),
        "link": {
            "samples": incident.link_samples,
            "up_samples": incident.link_up_samples,
            "changes": [{**attrs.asdict(c), "at": utc(c.at)} for c in incident.links],
        },
    }


def _finding(finding: Finding) -> dict[str, Any]:
    series = finding.series
    return {
        "analyzer": finding.analyzer,
        "kind": finding.kind,
        "series": None
        if series is None
        else {
            "component": series.component,
            "metric": series.metric,
            "labels": dict(series.labels),
            "unit": series.unit,
        },
        "facts": {name: _plain(value) for name, value in finding.facts.items()},
        "text": finding.text,
    }


def _chart(chart: Drawn) -> dict[str, Any]:
    return {
        "title": chart.title,
        "note": chart.note,
        "lines": [
            {"name": name, "unit": unit, "samples": samples, "shown": _plain(figure)}
            for name, unit, samples, figure in chart.lines
        ],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    return str(getattr(value, "value", value))


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _listed(item) for name, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value
