"""Analyzers and reporters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs

from alluse_core.model import (
    Finding,
    SeriesId,
)


@attrs.frozen
class Frame:
    """Metric history as an analyzer gets it, in buffers.

    ``times`` holds Unix seconds, rising; ``values`` one float64 buffer for each series, as long
    as ``times``, NaN = absent. ``step`` is the nominal distance in seconds.
    """

    times: memoryview
    series: tuple[SeriesId, ...]
    values: tuple[memoryview, ...]
    step: float


class Analyzer(Protocol):
    """A method of analysis. Runs in a worker process, may be late, must not keep state."""

    @property
    def name(self) -> str:
        """Its unique name."""

    def analyze(self, frame: Frame) -> Sequence[Finding]:
        """Return what it found; "too short to tell" is a finding too."""


@attrs.frozen
class ReportRequest:
    """What a reporter reads from and writes to.

    ``metrics`` and ``journal`` are paths of the two databases; ``settings`` the effective
    settings, secrets hidden.
    """

    out: Path
    metrics: Path
    journal: Path
    settings: Mapping[str, Any]


class Reporter(Protocol):
    """Writes something a person or a program reads, from the two databases alone."""

    @property
    def name(self) -> str:
        """Its unique name."""

    def write(self, request: ReportRequest) -> Sequence[Path]:
        """Write, and return what was written."""
