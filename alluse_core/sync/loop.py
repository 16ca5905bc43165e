"""An event loop in a thread of its own, and how another thread asks it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from alluse_core.errors import RuntimeClosed, UsageError

T = TypeVar("T")

_CLOSED = "the runtime is closed, so nothing can be asked of it any more"
_INSIDE = "code that runs in the runtime's own loop cannot wait for that loop"


class Loop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="alluse-loop", daemon=True
        )
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` in the loop and return its result; Ctrl-C cancels it.

        Raises RuntimeClosed where the loop is closed, UsageError where it is the caller's own.
        """
        if self._loop.is_closed() or threading.current_thread() is self._thread:
            work.close()
            if self._loop.is_closed():
                raise RuntimeClosed(_CLOSED, hint="use it inside 'with alluse.open_sync(...)'")
            raise UsageError(_INSIDE, hint="await the runtime of alluse.open there")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def call(self, read: Callable[[], T]) -> T:
        """Return what ``read`` returns in the loop, between two of its steps."""
        return self.wait(_now(read))

    def close(self) -> None:
        """End what still runs in the loop, its worker threads, and the loop."""
        self.wait(_wind_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _now(read: Callable[[], T]) -> T:
    return read()


async def _wind_up() -> None:
    """Do what ``asyncio.run`` does before it closes its loop."""
    loop, own = asyncio.get_running_loop(), asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not own]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
