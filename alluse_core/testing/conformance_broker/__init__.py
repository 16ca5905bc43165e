"""The standard tests of a Broker."""

from __future__ import annotations

from alluse_core.testing.conformance_broker.base import Desk
from alluse_core.testing.conformance_broker.data import DataTests
from alluse_core.testing.conformance_broker.evidence import EvidenceTests
from alluse_core.testing.conformance_broker.link import LinkTests
from alluse_core.testing.conformance_broker.orders import OrderTests
from alluse_core.testing.conformance_broker.venue import VenueTests

__all__ = ["BrokerConformance", "Desk"]


class BrokerConformance(LinkTests, DataTests, OrderTests, EvidenceTests, VenueTests):
    """Subclass it as ``Test...`` and define :meth:`open_broker`.

    ``instrument`` must be known to the venue, have two sides and enough size for ``quantity``;
    ``unknown_instrument`` must not be known. :meth:`pass_time` lets a little of the venue's time
    pass: a venue under a VirtualClock advances it there. ``account`` empty means the first one.

    What a venue does of its own (a pause of the market, a late fill, a callback twice) is asked of
    the methods of :class:`~alluse_core.testing.conformance_broker.base.BrokerSuite` that say so;
    a test whose venue cannot do it is skipped with the reason.
    """
