"""The standard tests of an Analyzer."""

from __future__ import annotations

import json
import math
import random
from array import array
from collections.abc import Callable, Sequence

from alluse_core.model import Finding, SeriesId
from alluse_core.ports import Analyzer, Frame
from alluse_core.testing.conformance import Conformance

_LENGTH = 600


def make_frame(*columns: Sequence[float], step: float = 1.0) -> Frame:
    """Return a frame of ``columns``, named ``test.c0``, ``test.c1`` and so on, all as long."""
    length = len(columns[0]) if columns else 0
    return Frame(
        times=memoryview(array("d", [1.7e9 + index * step for index in range(length)])),
        series=tuple(SeriesId("test", f"c{index}") for index in range(len(columns))),
        values=tuple(memoryview(array("d", column)) for column in columns),
        step=step,
    )


class AnalyzerConformance(Conformance):
    """Subclass it as ``Test...`` and define :meth:`make_analyzer`."""

    def make_analyzer(self) -> Analyzer:
        """Return the analyzer."""
        raise NotImplementedError("a conformance test says how to make its analyzer")

    def frames(self) -> dict[str, Frame]:
        """Return the frames that every analyzer must survive, by what is odd about them."""
        noise = random.Random(7)
        white = [50.0 + noise.gauss(0.0, 1.0) for _ in range(_LENGTH)]
        gaps = [math.nan if index % 3 == 0 else value for index, value in enumerate(white)]
        return {
            "white noise": make_frame(white),
            "two series": make_frame(white, [value * 2 for value in white]),
            "gaps": make_frame(gaps),
            "a constant": make_frame([5.0] * _LENGTH),
            "a step": make_frame([1.0] * 300 + [100.0] * 300),
            "nothing but gaps": make_frame([math.nan] * _LENGTH),
            "one sample": make_frame([1.0]),
            "no samples": make_frame([]),
            "no series": make_frame(),
            "huge and tiny": make_frame([1e300, 1e-300] * 300),
        }

    def test_it_has_a_name(self) -> None:
        assert self.make_analyzer().name

    def test_it_survives_every_odd_frame(self) -> None:
        for oddity, frame in self.frames().items():
            findings = self.make_analyzer().analyze(frame)
            assert isinstance(findings, Sequence), oddity

    def test_findings_name_the_analyzer_and_a_series_of_the_frame(self) -> None:
        def check(frame: Frame, finding: Finding) -> None:
            assert finding.analyzer == self.make_analyzer().name
            assert finding.kind
            assert finding.series is None or finding.series in frame.series

        self.for_each_finding(check)

    def test_findings_can_be_written_as_json(self) -> None:
        def check(frame: Frame, finding: Finding) -> None:
            facts = {
                name: None if isinstance(fact, float) and math.isnan(fact) else fact
                for name, fact in finding.facts.items()
            }
            json.dumps(facts, allow_nan=False)
            assert all(len(points) >= 0 for points in finding.points.values())

        self.for_each_finding(check)

    def test_the_same_frame_gives_the_same_findings(self) -> None:
        for oddity, frame in self.frames().items():
            once = self.make_analyzer().analyze(frame)
            again = self.make_analyzer().analyze(frame)
            assert [repr(f) for f in once] == [repr(f) for f in again], oddity

    def test_it_leaves_the_frame_as_it_was(self) -> None:
        for oddity, frame in self.frames().items():
            before = [bytes(values) for values in frame.values]
            self.make_analyzer().analyze(frame)
            assert [bytes(values) for values in frame.values] == before, oddity

    def for_each_finding(self, check: Callable[[Frame, Finding], None]) -> None:
        """Call ``check`` with every finding about the odd frames."""
        for frame in self.frames().values():
            for finding in self.make_analyzer().analyze(frame):
                check(frame, finding)
