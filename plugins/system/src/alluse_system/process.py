"""What this process uses."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from alluse_core.model import Sample
from alluse_system.limits import address_space_limit, cgroup_memory
from alluse_system.samples import MB, fields, sample

_RESOURCES = "system_resources"
_PROCESS = "process"


class ProcessSource:
    """Processor time, memory and its limits, threads and switches of this process."""

    name = "process"
    period = 1.0

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._last: tuple[float, float] | None = None

    def collect(self, now: float) -> Iterator[Sample]:
        """Yield samples as of now."""
        with self._process.oneshot():
            yield from self._cpu(now)
            yield from self._memory()
            yield sample(_PROCESS, "threads", self._process.num_threads())
            switches = self._process.num_ctx_switches()
            yield from fields(_PROCESS, "context_switches_", switches, ("voluntary", "involuntary"))

    def _cpu(self, now: float) -> Iterator[Sample]:
        times = self._process.cpu_times()
        names = ("user", "system", "children_user", "children_system", "iowait")
        yield from fields(_PROCESS, "cpu_", times, names, unit="s")
        used = times.user + times.system
        last, self._last = self._last, (now, used)
        if last is not None and now > last[0]:
            share = 100.0 * (used - last[1]) / (now - last[0])
            yield sample(_RESOURCES, "process_cpu_percent", max(0.0, share), "%")

    def _memory(self) -> Iterator[Sample]:
        memory = self._process.memory_info()
        yield sample(_RESOURCES, "memory_usage_mb", memory.rss / MB, "MB")
        names = ("rss", "vms", "shared", "text", "data")
        yield from fields(_PROCESS, "memory_", memory, names, unit="MB", divide=MB)
        limit = address_space_limit()
        if limit is not None:
            yield from _scope("process", memory.vms, limit)
        group = cgroup_memory()
        if group is not None:
            yield from _scope("cgroup", *group)
        host = psutil.virtual_memory()
        yield from _scope("host", host.total - host.available, host.total)


class ProcessFilesSource:
    """Open files, traffic with disks, and page faults of this process.

    Counting open files costs more the more there are: switch it off where that shows.
    """

    name = "process_files"
    period = 1.0

    def __init__(self) -> None:
        self._process = psutil.Process()

    def collect(self, now: float) -> Iterator[Sample]:
        """Yield samples as of now."""
        if hasattr(self._process, "num_fds"):
            yield sample(_PROCESS, "open_files", self._process.num_fds())
        if hasattr(self._process, "io_counters"):
            counters = self._process.io_counters()
            names = ("read_count", "write_count", "read_bytes", "write_bytes")
            yield from fields(_PROCESS, "io_", counters, names)
            chars = ("read_chars", "write_chars")
            yield from fields(_PROCESS, "io_", counters, chars)
        try:
            import resource
        except ImportError:
            return
        usage = resource.getrusage(resource.RUSAGE_SELF)
        yield sample(_PROCESS, "page_faults", usage.ru_minflt, kind="minor")
        yield sample(_PROCESS, "page_faults", usage.ru_majflt, kind="major")
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            yield sample(_PROCESS, "open_files_limit", soft)


def _scope(scope: str, used: float, limit: float) -> Iterator[Sample]:
    yield sample(_RESOURCES, "memory_used_mb", used / MB, "MB", scope=scope)
    yield sample(_RESOURCES, "memory_limit_mb", limit / MB, "MB", scope=scope)
