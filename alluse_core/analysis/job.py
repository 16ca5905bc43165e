"""What goes to a worker and what comes back, and both as bytes.

A message is a line of JSON, then raw float64 buffers in native order. Nothing is pickled: names,
settings and numbers are all that crosses.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Mapping, Sequence
from typing import IO, Any

import attrs

from alluse_core.analysis.windows import make_frame
from alluse_core.model import Finding, SeriesId
from alluse_core.ports import Frame


@attrs.frozen
class AnalyzerSpec:
    """One analyzer to run: its provider's name, where to find that provider, its settings.

    ``reference`` is ``"package.module:attribute"`` of a function that yields providers, or of a
    provider.
    """

    name: str
    reference: str
    settings: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Job:
    """One cycle's work."""

    specs: tuple[AnalyzerSpec, ...]
    frame: Frame


@attrs.frozen
class Failure:
    """An analyzer that raised, or a worker that ended (``analyzer`` is empty then)."""

    analyzer: str
    error: str


@attrs.frozen
class Outcome:
    """What one cycle brought. ``seconds`` is the time each analyzer took, by name."""

    findings: tuple[Finding, ...] = ()
    failures: tuple[Failure, ...] = ()
    seconds: Mapping[str, float] = attrs.field(factory=dict)


def write_job(stream: IO[bytes], job: Job) -> None:
    """Write a job."""
    frame = job.frame
    header = {
        "specs": [attrs.asdict(spec) for spec in job.specs],
        "series": [_series_to_json(series) for series in frame.series],
        "length": len(frame.times),
        "step": frame.step,
    }
    stream.write(json.dumps(header, default=str).encode() + b"\n")
    for buffer in (frame.times, *frame.values):
        stream.write(buffer)
    stream.flush()


def read_job(stream: IO[bytes]) -> Job | None:
    """Read a job; None at the end of the stream. Raises EOFError in the middle of one."""
    line = stream.readline()
    if not line:
        return None
    header = json.loads(line)
    length = header["length"]
    times = _read_floats(stream, length)
    columns = [
        (_series_from_json(series), _read_floats(stream, length)) for series in header["series"]
    ]
    specs = tuple(AnalyzerSpec(**spec) for spec in header["specs"])
    return Job(specs, make_frame(times, columns, header["step"]))


def write_outcome(stream: IO[bytes], outcome: Outcome) -> None:
    """Write an outcome as one line."""
    body = {
        "findings": [_finding_to_json(finding) for finding in outcome.findings],
        "failures": [attrs.asdict(failure) for failure in outcome.failures],
        "seconds": dict(outcome.seconds),
    }
    stream.write(json.dumps(body, allow_nan=False).encode() + b"\n")
    stream.flush()


def read_outcome(stream: IO[bytes]) -> Outcome:
    """Read an outcome. Raises EOFError where the worker has gone."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the worker closed its end")
    body = json.loads(line)
    return Outcome(
        tuple(_finding_from_json(item) for item in body["findings"]),
        tuple(Failure(**item) for item in body["failures"]),
        body["seconds"],
    )


def _read_floats(stream: IO[bytes], length: int) -> array[float]:
    values = array("d")
    data = stream.read(length * values.itemsize)
    if len(data) != length * values.itemsize:
        raise EOFError("the job ends in the middle of a buffer")
    values.frombytes(data)
    return values


def _series_to_json(series: SeriesId) -> list[Any]:
    return [series.component, series.metric, list(series.labels), series.unit]


def _series_from_json(item: Sequence[Any]) -> SeriesId:
    component, metric, pairs, unit = item
    return SeriesId(component, metric, tuple((name, value) for name, value in pairs), unit)


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    return {
        "analyzer": finding.analyzer,
        "kind": finding.kind,
        "series": None if finding.series is None else _series_to_json(finding.series),
        "facts": {name: _absent_to_none(value) for name, value in finding.facts.items()},
        "text": finding.text,
        "points": {
            name: [_absent_to_none(value) for value in values]
            for name, values in finding.points.items()
        },
    }


def _finding_from_json(item: Mapping[str, Any]) -> Finding:
    series = item["series"]
    return Finding(
        item["analyzer"],
        item["kind"],
        None if series is None else _series_from_json(series),
        item["facts"],
        item["text"],
        {
            name: tuple(math.nan if value is None else value for value in values)
            for name, values in item["points"].items()
        },
    )


def _absent_to_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
