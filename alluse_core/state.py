"""The folder that outlives runs: journal, metrics, leases. One process holds it at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

from alluse_core.errors import StateError, StateLocked
from alluse_core.settings import Settings

JOURNAL = "journal.db"
METRICS = "metrics.db"
LOCK = "lock"


def default_state_dir() -> Path:
    """Return the user's data folder for ALL-USE (XDG_STATE_HOME, else ``~/.local/state``)."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "alluse"


def state_path(settings: Settings) -> Path:
    """Return the folder that these settings keep their state in, by tenant and account."""
    agent = settings.alluse
    root = Path(agent.state_dir) if agent.state_dir else default_state_dir()
    return root / agent.tenant / (settings.orders.default_account or "default-account")


def where_the_journal_is(folder: Path, option: str) -> str:
    """Return a hint for who named a folder without a journal; '' where none is below it.

    Settings name the root, and the journals lie in it by tenant and account.
    """
    below = sorted(path.parent for path in folder.glob(f"*/*/{JOURNAL}"))
    return f"name one of its folders: {option} {' or '.join(map(str, below))}" if below else ""


class StateFolder:
    """An exclusively locked folder; a context manager.

    The lock is the operating system's, so a killed process leaves none behind. Raises StateLocked
    naming the holder, or StateError where the folder cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def __enter__(self) -> StateFolder:
        try:
            # Orders and positions are nobody else's business.
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.path / LOCK).open("a+", encoding="ascii", errors="replace")
        except OSError as error:
            raise _unusable(self.path, error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise StateLocked(
                f"state folder {str(self.path)!r} is in use by process {holder}",
                hint="stop that process, or give this one another [alluse] state_dir",
            ) from None
        try:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        except OSError as error:
            # Closing tries the flush once more and fails likewise; the lock goes with the file.
            with contextlib.suppress(OSError):
                lock.close()
            raise _unusable(self.path, error) from None
        self._lock = lock
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def of(self, *names: str) -> Path:
        """Return a folder below, made if need be, that belongs to one plugin's object.

        Raises StateError for a name that leads elsewhere and where the folder cannot be made.
        """
        folder = self.path.joinpath(*names)
        if any(name in ("", ".", "..") or "/" in name or "\0" in name for name in names):
            raise StateError(f"{names!r} is no name of a folder below {str(self.path)!r}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(folder, error) from None
        return folder


def _unusable(path: Path, error: OSError) -> StateError:
    return StateError(
        f"state folder {str(path)!r} cannot be used: {error.strerror}",
        hint="name another with --out or [alluse] state_dir",
    )
