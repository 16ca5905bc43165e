"""What a runtime did during a scenario, from its journal, its figures and the gateway's ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from alluse_core.orders.journal import JournalReader
from alluse_sim.world import AAPL

LOOKS_EVERY = 0.25
"""Seconds between two looks at the quote and the figures."""


@attrs.define
class Witness:
    """What was seen.

    ``links``: reasons by state of the link; ``pages``: why a person was called; ``adjustments``:
    causes; ``states`` by key at the end; ``stale``, ``halted``: looks at which the quote was.
    ``dark_fills`` are fills while the uplink was lost. ``connections``: how many a login makes.
    """

    links: dict[str, list[str]] = attrs.field(factory=dict)
    pages: list[str] = attrs.field(factory=list)
    adjustments: list[str] = attrs.field(factory=list)
    states: dict[str, str] = attrs.field(factory=dict)
    echoes: int = 0
    stale: int = 0
    halted: int = 0
    dark_fills: int = 0
    fresh_at_end: bool = False
    connections: int = 2
    figures: dict[Any, float] = attrs.field(factory=dict)
    peaks: dict[str, float] = attrs.field(factory=dict)
    cancelled: set[str] = attrs.field(factory=set)

    # --- figures ----------------------------------------------------------------------------

    def count(self, metric: str, **labels: str) -> float:
        """Return a figure at the end, summed over the series that bear these labels."""
        wanted = set(labels.items())
        return sum(
            value
            for series, value in self.figures.items()
            if series.metric == metric and wanted <= set(series.labels)
        )

    def peak(self, metric: str) -> float:
        """Return the highest value that one series of a metric had."""
        return self.peaks.get(metric, 0.0)

    def denied(self, *stages: str) -> float:
        """Return how many orders were denied at these stages."""
        return sum(self.count("denials", stage=stage) for stage in stages)

    def cancels_of(self, key: str) -> bool:
        """Return whether a cancel was asked for."""
        return key in self.cancelled

    # --- looking ----------------------------------------------------------------------------

    async def watch(self, runtime: Any) -> None:
        """Stream a quote and look at it again and again, for ever."""

        async def stream() -> None:
            async for _ in runtime.quotes.stream(AAPL):
                pass

        streaming = asyncio.create_task(stream())
        try:
            while True:
                self.look(runtime)
                await asyncio.sleep(LOOKS_EVERY)
        finally:
            streaming.cancel()
            await asyncio.gather(streaming, return_exceptions=True)

    def look(self, runtime: Any) -> None:
        """Take in what holds now."""
        quote = runtime.quotes.cached(AAPL)
        self.fresh_at_end = quote is not None
        self.stale += quote is None
        self.halted += quote is not None and quote.halted
        self.figures = dict(runtime.metrics.latest())
        for series, value in self.figures.items():
            self.peaks[series.metric] = max(value, self.peaks.get(series.metric, value))

    def read(self, journal: Path, entries: Sequence[Mapping[str, Any]]) -> None:
        """Take in the journal and the ledger, at the end."""
        with JournalReader(journal) as reader:
            for entry in reader.entries():
                self._entry(entry)
        lost = False
        for happened in entries:
            if happened["event"] == "inject" and happened["what"] == "broadcast":
                lost = happened["code"] == 1100
            self.dark_fills += lost and happened["event"] == "fill"

    def _entry(self, entry: Any) -> None:
        body = entry.body
        if entry.key and entry.state:
            self.states[entry.key] = entry.state
        if entry.kind == "notice" and "link" in body:
            self.links.setdefault(body["link"], []).append(body["reason"])
        elif entry.kind == "control" and body.get("action") == "page":
            self.pages.append(body.get("paged") or body["reason"])
        elif entry.kind == "adjustment":
            self.adjustments.append(body["cause"])
        elif entry.kind == "echo":
            self.echoes += 1
        elif entry.kind == "command" and body["verb"] == "cancel":
            self.cancelled.add(entry.key)
