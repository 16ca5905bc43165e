"""Seams for more than one machine."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Leadership(Protocol):
    """Grants periodic work to one process of several. Embedded: always granted."""

    async def lease(self, name: str) -> bool:
        """Return whether this process may do the named work now."""
