"""Keeps secrets out of what is written down, shown and sent: an error may quote one."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Iterable

SHORTEST = 6
"""A shorter secret is not looked for: it would stand in texts by chance."""


class Redaction(logging.Filter):
    """Knows the secrets that were handed out, and writes ``***`` in their place.

    As a filter of a log handler it does so in messages and tracebacks:
    ``handler.addFilter(runtime.redaction)``.
    """

    def __init__(self, secrets: Iterable[object] = ()) -> None:
        super().__init__()
        self._secrets: set[str] = set()
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: object) -> None:
        """Look for this one too, from now on."""
        if isinstance(secret, str) and len(secret) >= SHORTEST:
            self._secrets.add(secret)

    def secret(self, name: str) -> str | None:
        """Return ``ALLUSE_SECRET_<NAME>`` of the environment, if it is set, and look for it too."""
        value = os.environ.get(f"ALLUSE_SECRET_{name.upper()}")
        self.learn(value)
        return value

    def hide(self, text: str) -> str:
        """Return ``text`` without the secrets that are known."""
        # The longest first: one may be a part of another.
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def told(self, error: BaseException) -> str:
        """Return an error's type and text, as it may be shown to anybody."""
        return self.hide(told_of(error))

    def filter(self, record: logging.LogRecord) -> bool:
        """Take secrets out of a record; it is never left out."""
        record.msg, record.args = self.hide(record.getMessage()), ()
        if record.exc_info and record.exc_info[1] is not None:
            lines = traceback.format_exception(record.exc_info[1])
            record.exc_text = self.hide("".join(lines).rstrip("\n"))
        return True


def told_of(error: BaseException) -> str:
    """Return an error's type and text, as they are."""
    return f"{type(error).__name__}: {error}"
