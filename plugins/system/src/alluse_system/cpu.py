"""Shares of processor time between two readings of the kernel's counts."""

from __future__ import annotations

from typing import Any

# Linux counts guest time within user time, and waiting for disks is not being busy.
_WITHIN_OTHERS = ("guest", "guest_nice")
_NOT_BUSY = ("idle", "iowait")


class CpuShares:
    """Turns rising counts of seconds into percent since the last call.

    psutil's own cpu_percent keeps one last reading for the whole process, so that two callers
    shorten each other's interval; here each keeps its own.
    """

    def __init__(self) -> None:
        self._last: dict[str, float] | None = None

    def since_last(self, times: Any) -> dict[str, float]:
        """Return percent by mode, and ``busy``; empty at the first call."""
        counts = {n: getattr(times, n) for n in times._fields if n not in _WITHIN_OTHERS}
        last, self._last = self._last, counts
        if last is None:
            return {}
        spent = {name: max(0.0, counts[name] - last.get(name, 0.0)) for name in counts}
        total = sum(spent.values())
        if total <= 0.0:
            return {}
        shares = {name: 100.0 * value / total for name, value in spent.items()}
        shares["busy"] = sum(share for name, share in shares.items() if name not in _NOT_BUSY)
        return shares
