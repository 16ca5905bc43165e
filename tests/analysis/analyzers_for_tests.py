"""Analyzers that a worker can find: good, broken, printing, and one that ends its process."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence

import attrs

from alluse_core.model import Finding
from alluse_core.ports import Analyzer, Frame
from alluse_core.providers import Context, Provider


@attrs.frozen
class MeanSettings:
    scale: float = 1.0


class Mean:
    name = "mean"

    def __init__(self, settings: MeanSettings) -> None:
        self._scale = settings.scale

    def analyze(self, frame: Frame) -> Sequence[Finding]:
        print("analyzers may print without breaking the protocol")
        found = []
        for series, buffer in zip(frame.series, frame.values, strict=True):
            held = [value for value in buffer if not math.isnan(value)]
            facts = {"mean": self._scale * sum(held) / len(held), "nothing": math.nan}
            points = {"values": (1.0, math.nan)}
            found.append(Finding("mean", "statistics", series, facts, "", points))
        return found


class Broken:
    name = "broken"

    def analyze(self, frame: Frame) -> Sequence[Finding]:
        raise RuntimeError("a bug of a plugin")


class Deadly:
    name = "deadly"

    def analyze(self, frame: Frame) -> Sequence[Finding]:
        os._exit(7)


def _open_mean(context: Context) -> Analyzer:
    assert isinstance(context.settings, MeanSettings)
    return Mean(context.settings)


def alluse_analyzers() -> Iterator[Provider[Analyzer]]:
    yield Provider("mean", _open_mean, MeanSettings)
    yield Provider("broken", lambda context: Broken())
    yield Provider("deadly", lambda context: Deadly())
