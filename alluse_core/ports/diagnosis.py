"""What ``alluse doctor`` asks of a broker that can examine itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Protocol, runtime_checkable

import attrs

from alluse_core.model import Instrument


class Verdict(StrEnum):
    """What a check found. UNKNOWN: it was asked and not answered, or could not be asked."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"
    NOT_RUN = "not run"


@attrs.frozen
class Check:
    """One question, its answer, and what to do about it."""

    name: str
    verdict: Verdict
    detail: str
    hint: str = ""


@attrs.frozen
class Inquiry:
    """What the doctor knows beforehand, and how far it may go.

    ``used_order_ids`` is the highest order id that the journal has seen of each client id; None
    where the journal cannot be read. ``live_account`` is the account that the settings
    allow orders on. ``instruments`` empty: the broker picks one. ``patience`` is how many seconds
    one answer is waited for.
    """

    instruments: tuple[Instrument, ...] = ()
    used_order_ids: dict[int, int] | None = None
    live_account: str = ""
    patience: float = 5.0


@runtime_checkable
class Examinable(Protocol):
    """A broker that can say what of its login, its gateway or its permissions costs money."""

    def examine(self, inquiry: Inquiry) -> AsyncIterator[Check]:
        """Yield checks as they are answered, without ``connect`` and leaving nothing behind.

        Nothing is placed, changed or cancelled. What cannot be found out is UNKNOWN, with why.
        """
