"""What an account holds, as snapshots that say when and whether they are whole."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Generic, TypeVar

import attrs

from alluse_core.model.instrument import Instrument

T = TypeVar("T")


@attrs.frozen
class Snapshot(Generic[T]):
    """Rows as of one moment. ``complete`` is false where the broker's end mark did not come.

    A failed query raises; it is never an empty snapshot.
    """

    rows: tuple[T, ...]
    as_of: datetime
    complete: bool


@attrs.frozen
class Position:
    """A holding: signed quantity, and average cost per unit in the instrument's currency."""

    broker: str
    account: str
    instrument: Instrument
    quantity: Decimal
    average_cost: Decimal


@attrs.frozen
class AccountValue:
    """One figure of an account, under the broker's own name, e.g. NetLiquidation."""

    broker: str
    account: str
    name: str
    value: Decimal
    currency: str


class AccountMode(StrEnum):
    """Whether orders on an account move real money."""

    PAPER = "paper"
    LIVE = "live"
    UNKNOWN = "unknown"
