"""What all parts of the order path share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import attrs

from alluse_core.clock import Clock
from alluse_core.orders.book import Book
from alluse_core.orders.breaker import Breaker
from alluse_core.orders.identity import References
from alluse_core.orders.journal import Journal
from alluse_core.orders.meters import Meters
from alluse_core.orders.retries import RetryBudget
from alluse_core.redaction import told_of

Ask = Callable[[str, str], None]
"""(broker, why): ask that broker for all evidence soon."""


@attrs.frozen
class Desk:
    """The book, the journal and what else every part needs.

    ``ask`` requests evidence from a broker, ``page`` stops new risk and tells a person why.
    """

    book: Book
    journal: Journal
    clock: Clock
    meters: Meters
    references: References
    ask: Ask
    page: Callable[[str], None]
    named: Callable[[str], None] = lambda _: None
    """Called with a broker's name when it told by which number an order can be cancelled."""
    breakers: Mapping[str, Breaker] = attrs.field(factory=dict)
    slower: Callable[[str], None] = lambda _: None
    """Called with a broker's name when it said that messages came too fast."""
    retries: Mapping[str, RetryBudget] = attrs.field(factory=lambda: defaultdict(RetryBudget))
    """Of each broker: what may repeat by itself."""
    unsure: Callable[[str, str], None] = lambda _, __: None
    """(broker, why): hold new risk back until that broker told its evidence again."""
    told: Callable[[BaseException], str] = told_of
    """Returns an error's type and text without secrets."""
