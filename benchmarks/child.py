"""The process beside a benchmark: it serves until its standard input ends."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_START, _END = 30.0, 10.0


@asynccontextmanager
async def serving(module: str, *arguments: str) -> AsyncIterator[tuple[Process, int]]:
    """Run ``python -m module``, which prints its port first; yield the process and that port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError("the gateway process ended before it listened")
        yield process, int(line)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(_END):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
