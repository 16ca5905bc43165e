"""A simulated IB Gateway: the TWS wire protocol over alluse_paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alluse_gateway.server import PortInUse, SimulatedGateway

__all__ = ["PortInUse", "SimulatedGateway"]


def __getattr__(name: str) -> object:
    # The plugin module is imported by every start of the host; the server is not needed there.
    if name in __all__:
        from alluse_gateway import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
