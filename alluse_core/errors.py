"""Every error that ALL-USE raises for what was asked of it or happened to it, in one tree.

A value that cannot be meant is an ``InvalidValue`` or ``InvalidType``, which are Python's
``ValueError`` and ``TypeError`` too. Each error states the fact in its message and the way out in
``hint``. ``exit_code`` is what the command line ends with when the error reaches it: 1 failure, 2
usage, 3 settings, 4 broker or network, 5 refused by risk, 6 findings.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from alluse_core.model.instrument import Candidate


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest known word, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


class AllUseError(Exception):
    """Root of the tree. ``hint`` says what to do about it, and may be empty."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        # Analyzers run in another process: an error that cannot be pickled back would break the
        # pool instead of naming its cause, and exceptions are rebuilt from args alone.
        return (_rebuilt, (type(self), self.args, dict(self.__dict__)))


def _rebuilt(kind: type[AllUseError], args: tuple[Any, ...], state: dict[str, Any]) -> AllUseError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UsageError(AllUseError):
    """A command or call was given arguments that cannot be meant."""

    exit_code = 2


class InvalidValue(UsageError, ValueError):
    """A value of an instrument, order, group or call that cannot be meant; a ValueError too."""


class InvalidType(UsageError, TypeError):
    """A value of a type that cannot be meant, such as a float for a price; a TypeError too."""


# --- settings and plugins ---------------------------------------------------------------------


class SettingsError(AllUseError):
    """A setting has an unknown name, a wrong type or a value out of range."""

    exit_code = 3


class PluginError(AllUseError):
    """A plugin cannot be imported, opened or used as it is written."""

    exit_code = 3


class HookError(PluginError):
    """A hook implementation is misspelt, takes unknown arguments or yields the wrong type."""


class DuplicateProvider(PluginError):
    """Two distributions offer one name of one kind."""


class ProviderNotFound(PluginError):
    """The settings name a provider that no enabled plugin offers."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(
            f"{kind} {name!r} is not among {names}{did_you_mean(name, names)}",
            hint="install or enable the plugin that offers it: 'alluse plugins list' shows which"
            " are there",
        )


# --- state ------------------------------------------------------------------------------------


class StateError(AllUseError):
    """The state folder cannot be used."""


class StateLocked(StateError):
    """Another process holds the state folder."""


class StoreError(StateError):
    """The metric store cannot be read or written."""


class JournalError(StateError):
    """The order journal cannot be read or written; no new risk is sent."""


class JournalCorrupt(JournalError):
    """The journal's chain, order or length is not what was written."""


class RecordingError(AllUseError):
    """A recording cannot be read as one."""


# --- broker -----------------------------------------------------------------------------------


class BrokerError(AllUseError):
    """The broker or the network between did not do what was asked."""

    exit_code = 4


class BrokerUnavailable(BrokerError):
    """No working link. Evidence asked for now is unknown, never empty."""


class RequestFailed(BrokerError):
    """The broker answered a request with an error, or not at all within its deadline.

    ``code`` is the broker's own number, or None where it gave none.
    """

    def __init__(self, message: str, *, code: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class InstrumentNotFound(BrokerError):
    """The broker knows no such instrument."""


_SHOWN = 5


class AmbiguousInstrument(BrokerError):
    """The description fits several instruments; ``candidates`` has each of them as a record.

    The hint shows the first of them as they are to be written.
    """

    def __init__(self, message: str, candidates: Iterable[Candidate], *, hint: str = "") -> None:
        self.candidates = tuple(candidates)
        shown = "; ".join(str(each) for each in self.candidates[:_SHOWN])
        more = len(self.candidates) - _SHOWN
        listed = f"it may be {shown}" + (f"; and {more} more" if more > 0 else "")
        super().__init__(message, hint=f"{hint}; {listed}" if hint else listed)


class NotSent(BrokerError):
    """Provably not a byte of the message left this process: it may be sent again."""


class QuoteUnavailable(BrokerError):
    """No quote that is fresh enough could be had in time."""


# --- orders -----------------------------------------------------------------------------------


class OrderError(AllUseError):
    """An order command cannot be carried out."""


class OrderDenied(OrderError):
    """A pre-trade control refused the order; it was never sent."""

    exit_code = 5

    def __init__(self, message: str, *, stage: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.stage = stage


class TradingHalted(OrderDenied):
    """New risk is halted; ``resume`` with a name lifts it."""


class RuntimeClosed(OrderError, UsageError):
    """The runtime was left: it takes, sends and answers nothing more. A UsageError too."""


class KeyConflict(OrderError):
    """The key was used before for an order with other content."""


class OrderNotFound(OrderError):
    """No order has this key."""


class CommandRejected(OrderError):
    """A modify or cancel was refused; the order keeps its state."""
