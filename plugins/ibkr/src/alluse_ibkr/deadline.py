"""Waiting with an end, on the clock that was handed in."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from alluse_core.clock import Clock

T = TypeVar("T")


async def within(clock: Clock, future: asyncio.Future[T], seconds: float) -> T:
    """Return the future's result, or raise TimeoutError after ``seconds``; never cancels it."""
    if future.done():
        return future.result()
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((future, timer), return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
    if not future.done():
        raise TimeoutError
    return future.result()
