"""What is wrong on purpose: the settings of the control interface, read where they take effect."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import attrs

from alluse_gateway.order_faults import OrderFaults
from alluse_gateway.tampering import Tampering


@attrs.define
class Rejection:
    """The next ``count`` orders are refused with ``code`` and ``text``.

    ``told`` is what they are told of as first: "PreSubmitted", "Submitted", or nothing.
    """

    count: int
    code: int
    text: str
    told: str = ""


@attrs.define
class Faults:
    """All faults, off by default.

    ``latency`` and ``ack_delay`` are seconds: of every answer, and of what is said of orders.
    ``muted`` are message ids that are not sent. ``close_at`` names the step of the handshake at
    which connections are closed: accept, version, start or ready. ``partial_fills`` is how many
    orders to come are filled in parts of ``partial_fraction``. ``split`` is the longest segment
    in bytes, 0 for any; ``coalesce`` the seconds for which messages are gathered. ``taken_ids``
    are client ids that are refused as in use, with how often. ``clock_skew`` is how far ahead
    the time that clients are told runs, in seconds. ``competing_session``: the user is logged in
    elsewhere, where the market data goes. ``accounts`` stands in for the names of the
    accounts that clients are told. ``orders`` is what is wrong with orders.
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
    tampering: Tampering = attrs.field(factory=Tampering)
    split: int = 0
    coalesce: float = 0.0
    says_nothing: bool = False
    hears_nothing: bool = False
    violations_allowed: int = 3
    taken_ids: dict[int, int] = attrs.field(factory=dict)
    clock_skew: float = 0.0
    accounts: tuple[str, ...] | None = None
    orders: OrderFaults = attrs.field(factory=OrderFaults)
    competing_session: bool = False

    @property
    def shows_nothing(self) -> bool:
        """Whether no market data goes out."""
        return self.link_lost or self.market_farm_broken or self.competing_session

    def told(self, now: datetime) -> datetime:
        """Return the time that clients are told."""
        return now + timedelta(seconds=self.clock_skew)

    def take_refusal(self, client: int) -> bool:
        """Use up one refusal of a client id, if any is left."""
        left = self.taken_ids.get(client, 0)
        if left > 1:
            self.taken_ids[client] = left - 1
        else:
            self.taken_ids.pop(client, None)
        return left > 0

    def take_rejection(self, *, late: bool) -> Rejection | None:
        """Use up one rejection, if any is left, of those ``late``, after the order was taken."""
        rejection = self.rejection
        if rejection is None or late != bool(rejection.told):
            return None
        rejection.count -= 1
        if rejection.count <= 0:
            self.rejection = None
        return rejection


HANDSHAKE_STEPS = ("accept", "version", "start", "ready")
