"""What a person asks of a running process, through its state folder: one file for each request.

Whoever may write into the folder (0700) may ask. A request that nobody took is withdrawn by the
one who asked, so that none is carried out hours later.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from alluse_core.errors import StateError

SPOOL = "requests"
_PARTIAL = ".partial"
_LARGEST = 65_536
_POLL = 0.05


@attrs.frozen
class Request:
    """One request: ``verb`` says what, ``fields`` the rest, all text."""

    name: str
    verb: str
    fields: Mapping[str, str]


class Spool:
    """The requests below one state folder."""

    def __init__(self, state: Path) -> None:
        self._folder = state / SPOOL

    def ask(self, verb: str, fields: Mapping[str, str], patience: float) -> dict[str, Any]:
        """Put a request and wait for its answer, at most ``patience`` seconds.

        Raises StateError where nobody answered: then it was withdrawn, or is being carried out.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
            _write(self._folder / f"{name}.request", {"verb": verb, "fields": dict(fields)})
            return self._await(name, patience)
        except OSError as error:
            raise StateError(f"the request cannot be left: {error}") from None

    def _await(self, name: str, patience: float) -> dict[str, Any]:
        answer, until = self._folder / f"{name}.answer", time.monotonic() + patience
        late = False
        while not late:
            # Asked before the look: what was answered while this process was stopped counts.
            late = time.monotonic() >= until
            if answer.exists():
                found: dict[str, Any] = json.loads(answer.read_text("utf-8"))
                answer.unlink()
                return found
            if not late:
                time.sleep(_POLL)
        try:
            (self._folder / f"{name}.request").unlink()
        except FileNotFoundError:
            raise StateError(
                f"the request was taken, and not answered within {patience:g} s",
                hint="see 'alluse orders status'; it may still be carried out",
            ) from None
        raise StateError(
            f"the process did not take the request within {patience:g} s, so it was withdrawn",
            hint="it hangs, or is still starting; stop it and ask again",
        )

    def take(self) -> list[Request]:
        """Remove and return what waits, the oldest first. What cannot be read is thrown away."""
        found = []
        for path in sorted(self._folder.glob("*.request")):
            taken = path.with_suffix(".taken")
            try:
                # Renamed first: whoever asked may withdraw it at the same moment.
                path.rename(taken)
                text = taken.read_bytes()[:_LARGEST]
                taken.unlink()
            except FileNotFoundError:
                continue
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                body = json.loads(text)
                fields = {str(name): str(value) for name, value in body["fields"].items()}
                found.append(Request(path.stem, str(body["verb"]), fields))
        return found

    def answer(self, request: Request, body: Mapping[str, Any]) -> None:
        """Tell whoever asked."""
        _write(self._folder / f"{request.name}.answer", body)

    def clear(self) -> None:
        """Throw away what an earlier process left; called before a new one takes requests."""
        for kind in (".taken", ".answer", _PARTIAL):
            for path in self._folder.glob(f"*{kind}"):
                path.unlink(missing_ok=True)


def _write(path: Path, body: Mapping[str, Any]) -> None:
    # A name that no pattern of this folder finds: half a request would be taken and thrown away.
    partial = path.with_name(f"{path.name}{_PARTIAL}")
    partial.write_text(json.dumps(body), "utf-8")
    os.replace(partial, path)
