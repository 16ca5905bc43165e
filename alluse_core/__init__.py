"""ALL-USE: what stands between a trading agent and its broker.

Names are imported when they are first used, so that ``alluse --help`` and a plugin's
registration stay quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alluse_core.errors import AllUseError
    from alluse_core.markers import hookimpl, hookspec
    from alluse_core.model import (
        Bar,
        ChainWindow,
        DataType,
        Instrument,
        Order,
        OrderGroup,
        OrderState,
        OrderType,
        Position,
        Quote,
        Right,
        SecurityType,
        Side,
        Snapshot,
        TimeInForce,
    )
    from alluse_core.providers import Command, Context, Provider
    from alluse_core.runtime import Runtime, open
    from alluse_core.settings import Settings
    from alluse_core.sync import SyncRuntime, open_sync

_HOME = {
    "AllUseError": "errors",
    "Bar": "model",
    "ChainWindow": "model",
    "Command": "providers",
    "Context": "providers",
    "DataType": "model",
    "Instrument": "model",
    "Order": "model",
    "OrderGroup": "model",
    "OrderState": "model",
    "OrderType": "model",
    "Position": "model",
    "Provider": "providers",
    "Quote": "model",
    "Right": "model",
    "Runtime": "runtime",
    "SecurityType": "model",
    "Settings": "settings",
    "Side": "model",
    "Snapshot": "model",
    "SyncRuntime": "sync",
    "TimeInForce": "model",
    "hookimpl": "markers",
    "hookspec": "markers",
    "open": "runtime",
    "open_sync": "sync",
}

__all__ = [
    "AllUseError",
    "Bar",
    "ChainWindow",
    "Command",
    "Context",
    "DataType",
    "Instrument",
    "Order",
    "OrderGroup",
    "OrderState",
    "OrderType",
    "Position",
    "Provider",
    "Quote",
    "Right",
    "Runtime",
    "SecurityType",
    "Settings",
    "Side",
    "Snapshot",
    "SyncRuntime",
    "TimeInForce",
    "hookimpl",
    "hookspec",
    "open",
    "open_sync",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
