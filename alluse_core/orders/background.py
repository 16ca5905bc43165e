"""Work that goes on by itself: what it raises is told to a person, and outlived."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from alluse_core.errors import JournalError
from alluse_core.orders.desk import Desk

_log = logging.getLogger(__name__)
_PAUSE_FIRST, _PAUSE_MOST = 1.0, 30.0

Serve = Callable[[], Coroutine[Any, Any, None]]


class Background:
    """Runs what must not end while the process lives, and tells of each failure.

    A failure counts in ``background_failures`` and pages; the same one of the same part pages again
    only after the part has worked in between.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._told: dict[str, str] = {}

    def failed(self, part: str, error: BaseException) -> None:
        """Tell that a part failed. Never raises."""
        _log.error("%s failed", part, exc_info=error)
        self._desk.meters.count("background_failures", part=part).value += 1
        told = f"{part} failed: {self._desk.told(error)}"
        if self._told.get(part) != told:
            self._told[part] = told
            try:
                self._desk.page(told)
            except JournalError:
                _log.exception("the page that %s could not be journaled", told)

    @contextmanager
    def guarded(self, part: str) -> Iterator[None]:
        """Let no exception out of one step; a cancel of the task itself passes."""
        try:
            yield
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # What it waited for was cancelled by somebody else, which ends nothing here.
            self.failed(part, error)
        except Exception as error:  # noqa: BLE001 - one failure must not end what looks after orders
            self.failed(part, error)
        else:
            self._told.pop(part, None)

    def task(self, part: str, serve: Serve) -> asyncio.Task[None]:
        """Return a task that serves until it is cancelled: what ends before begins again."""
        return asyncio.create_task(self._serve(part, serve), name=part)

    async def _serve(self, part: str, serve: Serve) -> None:
        clock, pause = self._desk.clock, _PAUSE_FIRST
        while True:
            began = clock.monotonic()
            with self.guarded(part):
                await serve()
                raise RuntimeError("it ended, and nobody had asked it to")
            if clock.monotonic() - began > _PAUSE_MOST:
                pause = _PAUSE_FIRST
            await clock.sleep(pause)
            pause = min(2 * pause, _PAUSE_MOST)
