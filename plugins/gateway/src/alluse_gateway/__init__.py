"""A simulated IB Gateway: the TWS wire protocol over alluse_paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alluse_gateway.ports import PortInUse
    from alluse_gateway.server import SimulatedGateway

__all__ = ["PortInUse", "SimulatedGateway"]


def __getattr__(name: str) -> object:
    # The plugin module is imported by every start of the host; the server is not needed there.
    if name in __all__:
        from alluse_gateway import ports, server

        return getattr(ports if name == "PortInUse" else server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
