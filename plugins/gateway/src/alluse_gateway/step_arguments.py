"""What a scenario's steps may do, and with which arguments: the control interface's methods."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from alluse_core.errors import did_you_mean
from alluse_gateway.control import COMMANDS, Control

NO_STEPS: Final = ("begin", "ledger", "status")
"""Commands that are no fault."""

STEPS: Final = frozenset(COMMANDS) - frozenset(NO_STEPS)


def problem_with(do: str, samples: Iterable[Mapping[str, Any]]) -> str:
    """Return what is wrong with the arguments of a step, in words; empty where nothing is."""
    method = getattr(Control, do)
    taken = [each for each in inspect.signature(method).parameters.values() if each.name != "self"]
    names = [each.name for each in taken]
    hints = get_type_hints(method)
    for given in samples:
        for name, value in given.items():
            if name not in names:
                return f"{name!r} is not among its arguments {names}{did_you_mean(name, names)}"
            if not _fits(value, hints[name]):
                return f"{name} is {_words(hints[name])}, not {value!r}"
        for each in taken:
            if each.default is inspect.Parameter.empty and each.name not in given:
                return f"the argument {each.name!r} is missing"
    return ""


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if origin in (Sequence, Iterable, list, tuple):
        return isinstance(value, list) and all(_fits(each, get_args(hint)[0]) for each in value)
    if origin is not None:
        return isinstance(value, origin)
    if hint is Any:
        return True
    if isinstance(value, bool):
        return hint is bool
    if hint in (float, Decimal):
        return isinstance(value, int | float)
    return isinstance(hint, type) and isinstance(value, hint)


def _words(hint: Any) -> str:
    return inspect.formatannotation(hint).replace("collections.abc.", "").replace(" | None", "")
