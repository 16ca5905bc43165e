"""What a durable commit beside an event loop costs by itself: a floor for what uses one."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Commit = Callable[[], Awaitable[None]]

# About what a record of an order takes.
_BODY = "x" * 400

_Asked = tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]


@contextmanager
def bare_commits(path: Path) -> Iterator[Commit]:
    """Yield what commits one row of a table without an index in a thread, and waits for it."""
    asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE record (seq INTEGER PRIMARY KEY, body TEXT)")

    def write() -> None:
        while (work := asked.get()) is not None:
            loop, done = work
            try:
                connection.execute("INSERT INTO record (body) VALUES (?)", (_BODY,))
            except sqlite3.Error as error:
                loop.call_soon_threadsafe(done.set_exception, error)
            else:
                loop.call_soon_threadsafe(done.set_result, None)

    async def commit() -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        asked.put((loop, done))
        await done

    thread = threading.Thread(target=write, name="bare-commits")
    thread.start()
    try:
        yield commit
    finally:
        asked.put(None)
        thread.join()
        connection.close()
