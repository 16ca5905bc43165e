"""One bug to plant: which rule it undoes, by which patches, in which sessions it matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

import attrs

from alluse_sim.plan import Plan

_PATIENCE = 6.0  # what a bug broke does not heal, however long one waits

Replacement = Callable[..., Any]
Patch = tuple[type | ModuleType, str, Replacement]


@attrs.frozen
class Bug:
    """One bug. ``plan`` fixes what of a drawn session must be there for it to matter."""

    name: str
    undoes: str
    patches: Callable[[], Sequence[Patch]]
    plan: Mapping[str, Any] = attrs.field(factory=dict)

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have the bug for a while."""
        with ExitStack() as stack:
            for owner, attribute, replacement in self.patches():
                stack.enter_context(patch.object(owner, attribute, replacement))
            yield

    def session(self, seed: int) -> Plan:
        """Return the session of a seed that can catch it."""
        return Plan.draw(seed, **{"heal_within": _PATIENCE, **self.plan})
