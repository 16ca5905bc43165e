"""The name that an order carries to its broker and back: orderRef."""

from __future__ import annotations

import base64
import hashlib
import re

from alluse_core.model import NodeIdentity

MAX_LENGTH = 40
# 76 bits: among a hundred million keys two share a name with a probability of 1e-7.
_HASH_LENGTH = 19
_AGENT_LENGTH = 12
_PREFIX_LENGTH = 7
# 30 bits: of two names that begin alike, one in a billion pairs would share it.
_MARK_LENGTH = 6
# No name that fits holds it, so that none is taken for a shortened one.
_MARK = "~"
_UNFIT = re.compile(r"[^A-Za-z0-9_.]")


class References:
    """Makes orderRefs: ``PREFIX-agent-HASH``, ASCII, at most 40 characters.

    The hash covers tenant, agent and key, so that the same key gives the same name after any
    restart, and no key of another agent or tenant gives it. An agent's name that does not fit (12
    characters, ``A-Z a-z 0-9 _ .``) is shortened and marked with a hash of tenant and whole name:
    ``PREFIX-agent~MARK-HASH``. Orders once bore it cut and cleaned alone (``former``), which
    several agents may share.
    """

    def __init__(self, prefix: str, node: NodeIdentity) -> None:
        lead = f"{_UNFIT.sub('_', prefix)[:_PREFIX_LENGTH]}-"
        seed = f"{len(node.tenant)}:{node.tenant}{len(node.agent)}:{node.agent}"
        self._seed = hashlib.sha256(seed.encode())
        clean = _UNFIT.sub("_", node.agent)[:_AGENT_LENGTH]
        self.stem = f"{lead}{clean}-"
        self._former_stem = ""
        if clean != node.agent:
            mark = base64.b32encode(self._seed.digest()).decode()[:_MARK_LENGTH].lower()
            self._former_stem = self.stem
            self.stem = f"{lead}{clean[: _AGENT_LENGTH - len(_MARK) - _MARK_LENGTH]}{_MARK}{mark}-"

    def of(self, key: str) -> str:
        """Return the orderRef of a key."""
        return self.stem + self._hash(key)

    def all_of(self, key: str) -> tuple[str, ...]:
        """Return the orderRefs that a key's order may bear at the broker, today's first."""
        stems = (self.stem, self._former_stem) if self._former_stem else (self.stem,)
        return tuple(stem + self._hash(key) for stem in stems)

    def claims(self, reference: str) -> bool:
        """Whether an orderRef says that this agent made it, known or not."""
        return reference.startswith(self.stem)

    def former(self, reference: str) -> bool:
        """Whether this agent may have made an orderRef, and others of a like name as well."""
        return bool(self._former_stem) and reference.startswith(self._former_stem)

    def _hash(self, key: str) -> str:
        digest = self._seed.copy()
        digest.update(key.encode())
        return digest.hexdigest()[:_HASH_LENGTH]
