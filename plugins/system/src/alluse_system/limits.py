"""The memory limits that hold for this process: its own, its cgroup's, the host's."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
# Version 1 writes "no limit" as the largest multiple of a page.
_NO_LIMIT = 2**60


def address_space_limit() -> int | None:
    """Return RLIMIT_AS in bytes; None where there is none."""
    try:
        import resource
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY or soft >= _NO_LIMIT else soft


def cgroup_memory(
    root: Path = _ROOT, membership: Path = Path("/proc/self/cgroup")
) -> tuple[int, int] | None:
    """Return (used, limit) in bytes of the tightest cgroup above this process; None: no limit.

    Reads version 2 (memory.max) and version 1 (memory.limit_in_bytes).
    """
    found = [pair for folder, names in _folders(root, membership) if (pair := _pair(folder, names))]
    return max(found, key=lambda pair: pair[0] / pair[1], default=None)


def _folders(root: Path, membership: Path) -> list[tuple[Path, tuple[str, str]]]:
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, names = root, ("memory.current", "memory.max")
        elif "memory" in controllers.split(","):
            top, names = root / "memory", ("memory.usage_in_bytes", "memory.limit_in_bytes")
        else:
            continue
        folder = top / path.lstrip("/")
        while folder != top:
            folders.append((folder, names))
            folder = folder.parent
        folders.append((top, names))
    return folders


def _pair(folder: Path, names: tuple[str, str]) -> tuple[int, int] | None:
    try:
        used, limit = (int((folder / name).read_text()) for name in names)
    except (OSError, ValueError):
        return None  # "max", or a level without the memory controller
    return (used, limit) if 0 < limit < _NO_LIMIT else None
