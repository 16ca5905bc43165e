"""The stages that every order passes, and what they may look at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

import attrs

from alluse_core.model import (
    AccountMode,
    Instrument,
    InstrumentDefinition,
    LinkState,
    Order,
    OrderGroup,
    OrderState,
    Quote,
    Side,
)


class StagePhase(StrEnum):
    """Where in the pipeline a stage stands: phases run in this order."""

    VALIDATE = "validate"
    RISK = "risk"
    ROUTE = "route"


class TradingState(StrEnum):
    """What may be sent: everything, only what reduces risk, or only what protects."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


@attrs.frozen
class Decision:
    """A stage's answer. A denial says the limit, the value and the source of the limit."""

    allowed: bool
    reason: str = ""
    limit: str = ""
    value: str = ""
    source: str = ""


ALLOW = Decision(True)


def deny(reason: str, *, limit: object = "", value: object = "", source: str = "") -> Decision:
    """Return a denial; ``reason`` is one sentence."""
    return Decision(False, reason, str(limit), str(value), source)


@attrs.frozen
class WorkingOrder:
    """An order of ours that may still fill, as a stage sees it. UNKNOWN ones are included.

    Orders with one ``oca_group`` fill no more together than the largest of them: a fill of one
    cancels the others or takes as much off them. ``entry`` is the key of the order that
    must fill before this one works: a bracket's exits name their entry.
    """

    key: str
    instrument: Instrument
    side: Side
    remaining: Decimal
    limit_price: Decimal | None
    state: OrderState
    account: str
    oca_group: str = ""
    entry: str = ""


class OrderView(Protocol):
    """What a stage may look at. It does not change while the stages of one order run."""

    @property
    def now(self) -> float:
        """Monotonic seconds."""

    @property
    def time(self) -> datetime:
        """Wall-clock time, aware UTC."""

    @property
    def state(self) -> TradingState:
        """Whether new risk is allowed."""

    @property
    def link(self) -> LinkState:
        """The link of the order's broker."""

    @property
    def reconciling(self) -> bool:
        """Whether the broker's evidence is being asked for after a start or a lost link."""

    @property
    def group(self) -> OrderGroup | None:
        """The group the order belongs to."""

    @property
    def account_mode(self) -> AccountMode:
        """Paper or live, by the account's name."""

    def quote(self, instrument: Instrument) -> Quote | None:
        """Return the newest quote held, fresh or not; None where none is."""

    def definition(self, instrument: Instrument) -> InstrumentDefinition | None:
        """Return the broker's definition if it is known already."""

    def position(self, instrument: Instrument) -> Decimal:
        """Return our signed position in the order's account: the broker's, plus fills since."""

    def working(self, instrument: Instrument | None = None) -> Sequence[WorkingOrder]:
        """Return our live orders in the order's account, of one instrument or of all."""

    def unknown_count(self) -> int:
        """Return how many orders are UNKNOWN."""

    def recent(self, seconds: float) -> Sequence[tuple[float, Order]]:
        """Return (monotonic time, order) of what was let through lately, oldest first.

        Reaches back ten minutes at most.
        """

    def account_value(self, name: str) -> Decimal | None:
        """Return a figure of the order's account, e.g. "NetLiquidation"; None where unknown."""

    def reduces(self, order: Order) -> bool:
        """Return whether ``order`` is proven to reduce risk.

        An UNKNOWN or working exit counts as possibly filled, so that two exits cannot flip the
        position.
        """


class OrderStage(Protocol):
    """A synchronous check on the way of every order.

    All stages of an order and the reservation of its exposure run without an await in between,
    so limits hold at every instant. A stage that raises or overruns its budget denies.
    """

    @property
    def name(self) -> str:
        """Its unique name."""

    @property
    def phase(self) -> StagePhase:
        """When it runs."""

    def check(self, order: Order, view: OrderView) -> Decision:
        """Allow or deny; no I/O, no waiting."""
