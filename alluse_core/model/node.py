"""Who speaks: carried by everything that leaves a process."""

from __future__ import annotations

import attrs


@attrs.frozen
class NodeIdentity:
    """``incarnation`` is new with every start of the process; the rest comes from the settings."""

    tenant: str
    node: str
    agent: str
    incarnation: str
