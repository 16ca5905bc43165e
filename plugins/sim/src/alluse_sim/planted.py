"""Bugs to plant in the order path, each of which a session must bring to light.

A checker that finds nothing proves nothing until it was seen to find what is there. Each bug
undoes one rule of the order path; the faults beside it are those under which the rule matters.
"""

from __future__ import annotations

from collections.abc import Mapping

from alluse_core.errors import UsageError, did_you_mean
from alluse_sim import bugs_of_evidence, bugs_of_exits, bugs_of_exposure, bugs_of_sending
from alluse_sim.bug import Bug

BUGS: Mapping[str, Bug] = {
    bug.name: bug
    for bug in (
        *bugs_of_sending.BUGS,
        *bugs_of_evidence.BUGS,
        *bugs_of_exposure.BUGS,
        *bugs_of_exits.BUGS,
    )
}
"""Every bug that can be planted, by name."""

OF_PROTECTION = ("ended-exit-covers", "exit-covers-all")
"""Those that only the comparison of what is held with what covers it can show."""


def find(name: str) -> Bug:
    """Return the bug of a name. Raises UsageError."""
    if name not in BUGS:
        raise UsageError(
            f"no bug is called {name!r}{did_you_mean(name, BUGS)}",
            hint="alluse torture --list names them all",
        )
    return BUGS[name]
