"""What the host has and uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from alluse_core.model import Sample
from alluse_system.cpu import CpuShares
from alluse_system.samples import MB, fields, sample

_RESOURCES = "system_resources"
_HOST = "host"
_MEMORY = (
    "total",
    "available",
    "used",
    "free",
    "active",
    "inactive",
    "buffers",
    "cached",
    "shared",
    "slab",
)


class HostSource:
    """Processors, memory, load, and the file system of the state folder."""

    name = "host"
    period = 1.0

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._all = CpuShares()
        self._cores: list[CpuShares] = []

    def collect(self, now: float) -> Iterator[Sample]:
        """Yield samples as of now."""
        yield from self._cpu()
        memory = psutil.virtual_memory()
        yield from fields(_HOST, "memory_", memory, _MEMORY, unit="MB", divide=MB)
        yield sample(_HOST, "memory_percent", memory.percent, "%")
        for minutes, load in zip((1, 5, 15), psutil.getloadavg(), strict=True):
            yield sample(_HOST, "load", load, minutes=minutes)
        disk = psutil.disk_usage(str(self._state_dir))
        yield sample(_RESOURCES, "disk_usage_percent", disk.percent, "%")
        names = ("total", "used", "free")
        yield from fields(_HOST, "disk_", disk, names, unit="MB", divide=MB)

    def _cpu(self) -> Iterator[Sample]:
        shares = self._all.since_last(psutil.cpu_times())
        for mode, share in shares.items():
            if mode != "busy":
                yield sample(_HOST, "cpu_mode_percent", share, "%", mode=mode)
        if shares:
            yield sample(_RESOURCES, "cpu_percent", shares["busy"], "%")
        for core, times in enumerate(psutil.cpu_times(percpu=True)):
            if core == len(self._cores):
                self._cores.append(CpuShares())
            found = self._cores[core].since_last(times)
            if found:
                yield sample(_HOST, "cpu_percent", found["busy"], "%", core=core)


class HostTrafficSource:
    """Disk and network traffic, swap, and the kernel's counts, since the host started."""

    name = "host_traffic"
    period = 2.0

    def collect(self, now: float) -> Iterator[Sample]:
        """Yield samples as of now."""
        stats = psutil.cpu_stats()
        names = ("ctx_switches", "interrupts", "soft_interrupts")
        yield from fields(_HOST, "", stats, names)
        swap = psutil.swap_memory()
        yield from fields(_HOST, "swap_", swap, ("total", "used", "free"), unit="MB", divide=MB)
        yield from fields(_HOST, "swap_", swap, ("sin", "sout"))
        yield sample(_HOST, "processes", len(psutil.pids()))
        disks = psutil.disk_io_counters()
        if disks is not None:
            names_io = (
                "read_count",
                "write_count",
                "read_bytes",
                "write_bytes",
                "read_time",
                "write_time",
                "busy_time",
            )
            yield from fields(_HOST, "disk_io_", disks, names_io)
        for interface, counters in psutil.net_io_counters(pernic=True).items():
            names_net = counters._fields
            yield from fields(_HOST, "net_", counters, names_net, interface=interface)
