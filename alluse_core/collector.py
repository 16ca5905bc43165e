"""Python's garbage collector, beside a trading loop."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def startup_frozen() -> Iterator[None]:
    """Leave what is alive now out of every collection until the end of the block.

    Modules, plugins and settings live as long as the process does: a full collection that walks
    them again finds nothing, and holds the event loop meanwhile (metric ``gc_pause_ms``). Nothing
    is collected first, so that the start has no pause either: a cycle of garbage among what is
    frozen is freed after the block. For a process of one's own, as ``alluse run`` is.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
