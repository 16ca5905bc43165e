"""A runtime on a clock of the caller's: its periodic work follows that clock."""

from __future__ import annotations

import asyncio
from pathlib import Path

import alluse_core
from alluse_core.testing import VirtualClock


def test_a_virtual_clock_drives_the_cycles(tmp_path: Path) -> None:
    async def scenario() -> int:
        clock = VirtualClock()
        settings = {
            "brokers": {"sim": {"provider": "paper"}},
            "analysis": {"off": ["statistics", "trend", "anomaly", "isolation", "forecast"]},
        }
        opening = asyncio.ensure_future(
            alluse_core.open(settings, state=tmp_path, clock=clock).__aenter__()
        )
        for _ in range(200):
            if opening.done():
                break
            await clock.advance(0.1)
            await asyncio.sleep(0.001)
        runtime = await opening
        try:
            await clock.advance(30.0)
            return len(list(runtime.metrics.store.batches()))
        finally:
            runtime.metrics.store.flush()
            leaving = asyncio.ensure_future(runtime.__aexit__(None, None, None))
            while not leaving.done():
                await clock.advance(0.1)
                await asyncio.sleep(0.001)

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) >= 25
