"""The one place that touches ib_insync or ib_async.

Both are used as they are published: their Client and Decoder do the wire, and a wrapper of ours
takes what they decode. Their ``IB`` and ``Trade`` are not used: these keep an order state of their
own that is no evidence (ib_insync 0.9.86 sets an order Cancelled on almost any error that bears
its id, while the order lives at the broker).
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from alluse_core.errors import PluginError
from alluse_ibkr.parsing import FieldParser

_log = logging.getLogger("alluse_ibkr.wire")

REQUEST_IDS_FROM = 1_500_000_000
"""Requests are numbered from here, so that no error about a request can name an order."""


@attrs.frozen
class Library:
    """The classes of a client library that are used; ``blank_order`` is for copying."""

    name: str
    client: Callable[[Any], Any]
    contract: Callable[..., Any]
    combo_leg: Callable[..., Any]
    blank_order: Any
    execution_filter: Callable[..., Any]


def load(name: str) -> Library:
    """Import ``ib_insync`` or ``ib_async``. Call it with the event loop running.

    Raises PluginError where the library is not installed.
    """
    with _current_loop():
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise PluginError(
                f"{name} cannot be imported: {error}",
                hint=f"install it: pip install {name}",
            ) from error
    return Library(
        name,
        module.client.Client,
        module.Contract,
        module.ComboLeg,
        module.Order(),
        module.ExecutionFilter,
    )


@contextmanager
def _current_loop() -> Iterator[None]:
    """Make the running loop the thread's current one, which the libraries ask the policy for.

    eventkit asks for it while it is imported: without one it fails in a thread, and from Python
    3.12 on it warns.
    """
    asyncio.set_event_loop(asyncio.get_running_loop())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is no current event loop", DeprecationWarning)
        yield


class _WireLog:
    """Stands in for the library's loggers: counts what could not be decoded.

    The libraries catch every exception of a message handler and log it; for evidence on orders
    that is not enough.
    """

    def __init__(self, failed: Callable[[str], None]) -> None:
        self._failed = failed

    def isEnabledFor(self, level: int) -> bool:
        return False

    def debug(self, text: str, *args: Any) -> None:
        _log.debug(text, *args)

    info = warning = error = debug

    def exception(self, text: str, *args: Any) -> None:
        _log.debug(text, *args, exc_info=True)
        self._failed(text)


def open_client(library: Library, wrapper: Any, failed: Callable[[str], None]) -> Any:
    """Return an unconnected client that does not throttle: pacing is the caller's.

    The client's own throttle keeps a queue that a lost connection drops in silence, and still
    sends bursts at the edges of its window. ``failed`` is told of every message that could not
    be decoded.
    """
    asyncio.set_event_loop(asyncio.get_running_loop())
    client = library.client(wrapper)
    client.MaxRequests = 0
    log = _WireLog(failed)
    client._logger = log
    client.decoder.logger = log
    client.decoder.parse = FieldParser().parse
    return client
