"""The first bytes of a connection: who speaks which version."""

from __future__ import annotations

import re
from datetime import datetime

import attrs

from alluse_gateway import wire

PREAMBLE = b"API\0"
MIN_VERSION = 157
MAX_VERSION = 226
"""The range of server versions that this package speaks: text up to 200, and then protobuf."""

_OFFER = re.compile(rb"v(\d{1,6})\.\.(\d{1,6})(?: (.*))?", re.DOTALL)
_SINGLE = re.compile(rb"v(\d{1,6})(?: (.*))?", re.DOTALL)


@attrs.frozen
class Offer:
    """What a client offers: the versions it speaks, and its connect options."""

    lowest: int
    highest: int
    options: str = ""


def read_offer(payload: bytes) -> Offer | None:
    """Read ``v157..176 options``; None where the bytes are no such offer."""
    if found := _OFFER.fullmatch(payload.rstrip(b"\0")):
        lowest, highest, options = found.groups()
        return Offer(int(lowest), int(highest), (options or b"").decode("ascii", "replace"))
    if found := _SINGLE.fullmatch(payload.rstrip(b"\0")):
        version, options = found.groups()
        return Offer(int(version), int(version), (options or b"").decode("ascii", "replace"))
    return None


def negotiate(offer: Offer, own: int = MAX_VERSION) -> int | None:
    """Return the version to speak, the lower of the two, or None where there is no common one."""
    version = min(own, offer.highest)
    return version if version >= max(offer.lowest, MIN_VERSION) else None


def greeting(version: int, now: datetime, zone: str = "UTC") -> bytes:
    """Return the server's half of the handshake; ``now`` is in ``zone``."""
    return wire.message(version, f"{now:%Y%m%d %H:%M:%S} {zone}")
