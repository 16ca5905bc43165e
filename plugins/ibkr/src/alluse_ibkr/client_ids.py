"""Which process of this machine uses which client id of a TWS."""

from __future__ import annotations

import fcntl
import math
import os
from pathlib import Path
from typing import IO

from alluse_core.errors import BrokerUnavailable

TWS_CLIENTS = 32
"""Connections that one TWS or IB Gateway takes (TWS API, "up to 32 client applications")."""

_STAMP_EVERY = 0.2
"""Seconds between two stamps of an id: a stamp costs a system call."""

_REST = 1.0 + _STAMP_EVERY + 0.05
"""Seconds after a stamp in which a message may have been sent less than a second ago."""


class ClientIdTaken(BrokerUnavailable):
    """Another connection has this client id (error 326), or another process has reserved it."""


class ClientIdLocks:
    """Reserves client ids of one host and port among the processes that share ``folder``.

    One lock file each, held by ``flock``: it ends with the process, however that ends, so none is
    ever stale. The files stay, which is what makes the locks safe: a lock on a file that was
    removed guards nothing.
    """

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self._folder = folder
        self._name = f"{''.join(c if c.isalnum() else '-' for c in host)}_{port}"
        self._where = f"{host}:{port}"
        self._held: dict[int, IO[str]] = {}
        self._stamped: dict[int, float] = {}

    @property
    def held(self) -> frozenset[int]:
        """The client ids that this object has reserved."""
        return frozenset(self._held)

    def take(self, client_id: int) -> None:
        """Reserve an id; nothing happens where it is reserved here already.

        Raises ClientIdTaken where another process has it, or where as many ids are reserved as
        a TWS takes; BrokerUnavailable where the folder cannot be written.
        """
        if client_id in self._held:
            return
        others = self._others()
        if len(others) + len(self._held) >= TWS_CLIENTS:
            raise ClientIdTaken(
                f"{TWS_CLIENTS} client ids of {self._where} are in use, which is all it takes",
                hint="end a program that is connected to it",
            )
        lock = self._open(client_id)
        if not _lock(lock):
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise ClientIdTaken(
                f"client id {client_id} of {self._where} is in use by process {holder}",
                hint="give each program that shares a TWS a client_id of its own",
            )
        sent_at = os.fstat(lock.fileno()).st_mtime
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        # Writing the holder is no message to the broker.
        os.utime(lock.fileno(), (sent_at, sent_at))
        self._held[client_id] = lock

    def give(self, client_id: int) -> None:
        """End a reservation, if there is one."""
        lock = self._held.pop(client_id, None)
        if lock is not None:
            lock.close()

    def stamp(self, client_id: int, now: float) -> None:
        """Write down that a message was sent under an id at Unix time ``now``."""
        lock = self._held.get(client_id)
        if lock is None or 0 <= now - self._stamped.get(client_id, -1.0) < _STAMP_EVERY:
            return
        self._stamped[client_id] = now
        os.utime(lock.fileno(), (now, now))

    def rest(self, now: float) -> float:
        """Return seconds until no message of a former process counts in the broker's window.

        Every process that shares the folder is looked at, whoever it was and however it ended.
        """
        latest = max(
            (path.stat().st_mtime for path in self._folder.glob(f"{self._name}_*.lock")),
            default=-math.inf,
        )
        return _REST + latest - now if 0 <= now - latest < _REST else 0.0

    def close(self) -> None:
        """End all reservations."""
        for client_id in tuple(self._held):
            self.give(client_id)

    def _path(self, client_id: int) -> Path:
        return self._folder / f"{self._name}_{client_id}.lock"

    def _open(self, client_id: int) -> IO[str]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._path(client_id)
            fresh = not path.exists()
            lock = path.open("a+", encoding="ascii", errors="replace")
            if fresh:
                os.utime(lock.fileno(), (0.0, 0.0))
        except OSError as error:
            raise BrokerUnavailable(
                f"client id {client_id} cannot be reserved in {str(self._folder)!r}: {error}",
                hint="make the folder writable, or name another one by client_id_dir",
            ) from error
        lock.seek(0)
        return lock

    def _others(self) -> list[Path]:
        """Return the files of ids that others have reserved, where they could be too many.

        Looking takes each lock for a moment, in which its id seems taken to another process; so
        nobody looks before there are as many files as a TWS takes connections.
        """
        own = {self._path(client_id) for client_id in self._held}
        paths = [each for each in self._folder.glob(f"{self._name}_*.lock") if each not in own]
        found: list[Path] = []
        if len(paths) + len(own) < TWS_CLIENTS:
            return found
        for path in paths:
            with path.open("r", encoding="ascii", errors="replace") as lock:
                if not _lock(lock):
                    found.append(path)
        return found


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
