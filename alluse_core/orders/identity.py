"""The name that an order carries to its broker and back: orderRef."""

from __future__ import annotations

import hashlib
import re

from alluse_core.model import NodeIdentity

MAX_LENGTH = 40
# 76 bits: among a hundred million keys two share a name with a probability of 1e-7.
_HASH_LENGTH = 19
_AGENT_LENGTH = 12
_PREFIX_LENGTH = 7
_UNFIT = re.compile(r"[^A-Za-z0-9_.]")


class References:
    """Makes orderRefs: ``PREFIX-agent-HASH``, ASCII, at most 40 characters.

    The hash covers tenant, agent and key, so that the same key gives the same name after any
    restart, and agents with one agent name but other tenants never meet.
    """

    def __init__(self, prefix: str, node: NodeIdentity) -> None:
        agent = _UNFIT.sub("_", node.agent)[:_AGENT_LENGTH]
        self.stem = f"{_UNFIT.sub('_', prefix)[:_PREFIX_LENGTH]}-{agent}-"
        seed = f"{len(node.tenant)}:{node.tenant}{len(node.agent)}:{node.agent}"
        self._seed = hashlib.sha256(seed.encode())

    def of(self, key: str) -> str:
        """Return the orderRef of a key."""
        digest = self._seed.copy()
        digest.update(key.encode())
        return self.stem + digest.hexdigest()[:_HASH_LENGTH]

    def claims(self, reference: str) -> bool:
        """Whether an orderRef says that this agent made it, known or not."""
        return reference.startswith(self.stem)
