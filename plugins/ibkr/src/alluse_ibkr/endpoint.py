"""Where the terminal listens, which it may change while it runs (error 1300)."""

from __future__ import annotations

import re

_PORT = re.compile(r"\d{2,5}")


class Endpoint:
    """Host and port of a login; ``port`` is the one to try next."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._set = port
        self._told = port

    def move(self, text: str) -> int | None:
        """Read the new port from the text of error 1300; None where it names none."""
        found = [int(each) for each in _PORT.findall(text) if 0 < int(each) < 65536]
        if not found:
            return None
        self.port = self._told = found[-1]
        return self.port

    def failed(self) -> None:
        """Try the other one next: a port that was told may be gone again after a restart."""
        self.port = self._set if self.port == self._told else self._told
