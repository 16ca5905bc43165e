"""The runtime for code that has no event loop: the same names, blocking."""

from alluse_core.sync.orders import SyncOrders
from alluse_core.sync.quotes import SyncChains, SyncQuotes
from alluse_core.sync.runtime import SyncRuntime, open_sync
from alluse_core.sync.tickets import SyncCommandTicket, SyncGroupTicket, SyncTicket

__all__ = [
    "SyncChains",
    "SyncCommandTicket",
    "SyncGroupTicket",
    "SyncOrders",
    "SyncQuotes",
    "SyncRuntime",
    "SyncTicket",
    "open_sync",
]
