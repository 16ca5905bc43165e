"""What is wrong on purpose: the settings of the control interface, read where they take effect."""

from __future__ import annotations

from decimal import Decimal

import attrs


@attrs.define
class Rejection:
    """The next ``count`` orders are refused with ``code`` and ``text``."""

    count: int
    code: int
    text: str


@attrs.define
class Faults:
    """All faults, off by default.

    ``latency`` and ``ack_delay`` are seconds: of every answer, and of what is said of orders.
    ``muted`` are message ids that are not sent. ``close_at`` names the step of the handshake at
    which connections are closed: accept, version, start or ready. ``partial_fills`` is how many
    orders to come are filled in parts of ``partial_fraction``.
    """

    latency: float = 0.0
    ack_delay: float = 0.0
    muted: set[int] = attrs.field(factory=set)
    rejection: Rejection | None = None
    close_at: str = ""
    partial_fills: int = 0
    partial_fraction: Decimal = Decimal("0.5")
    link_lost: bool = False
    market_farm_broken: bool = False
    history_farm_broken: bool = False

    def take_rejection(self) -> Rejection | None:
        """Use up one rejection, if any is left."""
        rejection = self.rejection
        if rejection is None:
            return None
        rejection.count -= 1
        if rejection.count <= 0:
            self.rejection = None
        return rejection


HANDSHAKE_STEPS = ("accept", "version", "start", "ready")
