"""Registers alluse-gateway with ALL-USE."""

from __future__ import annotations

from collections.abc import Iterable

from alluse_core.markers import hookimpl
from alluse_core.providers import Command


@hookimpl
def alluse_commands() -> Iterable[Command]:
    """Offer ``alluse gateway``."""
    yield Command("gateway", "Serve a simulated IB Gateway.", "alluse_gateway.cli:command")
