"""What a process of a part tells while it runs: lines of JSON in the file that ALLUSE_RAN names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs

_SAID = 2_000


@attrs.define
class Told:
    """``ran`` were run. ``broken`` says what broke, ``skipped`` why what was not run."""

    ran: int = 0
    broken: list[Broken] = attrs.field(factory=list)
    skipped: list[str] = attrs.field(factory=list)

    def add(self, line: dict[str, Any]) -> None:
        """Take one line."""
        self.ran += line.get("ran", 0)
        if "broken" in line:
            self.broken.append(Broken(line["broken"][:_SAID], line.get("again", "")))
        if "skipped" in line:
            self.skipped.append(line["skipped"])


@attrs.frozen
class Broken:
    """What broke, and the command that plays it again."""

    what: str
    again: str


class Tail:
    """A text file that grows: gives its new whole lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.size = 0

    def lines(self) -> list[str]:
        """Return the whole lines that came since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        self.size = self._at + len(data)
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        return whole.decode("utf-8", "replace").splitlines()


def tell(path: str, **said: Any) -> None:
    """Append one line. A reader sees it as a whole or not at all."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(said) + "\n")
