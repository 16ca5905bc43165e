"""Positions that moved without an order: what moved them, as far as the executions tell."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum

from alluse_core.model import Execution, Instrument, SecurityType, Side
from alluse_core.orders.desk import Desk
from alluse_core.orders.reader import Entry
from alluse_core.orders.records import Kind

_log = logging.getLogger(__name__)

_KEPT = 1_000

Delivered = tuple[str, str, str, int, int]
"""(broker, account, symbol, strike in ten-thousandths, shares)"""


class Cause(StrEnum):
    """Why a position moved without an order of anybody.

    UNEXPLAINED: the broker's list of positions is not what the executions come to.
    """

    LIQUIDATION = "liquidation"
    ASSIGNMENT = "assignment"
    EXERCISE = "exercise"
    EXPIRY = "expiry"
    UNEXPLAINED = "unexplained"


class Settlements:
    """Recognises what the API has no word for: executions of nobody's order, told by their shape.

    Options leave at a price of 0; where shares move at the strike in the same quantity, they were
    exercised (a long position) or assigned (a short one). Without that they ran out, if it is
    their last day.
    """

    def __init__(self) -> None:
        self._left: OrderedDict[Delivered, Cause] = OrderedDict()

    def cause(self, fill: Execution) -> Cause | None:
        """Return why a fill came about that no order of ours explains; None: by an order."""
        if fill.liquidation:
            return Cause.LIQUIDATION
        if fill.identity.order_ref or fill.identity.order_id:
            return None
        instrument = fill.instrument
        if instrument.security_type is SecurityType.OPTION and fill.price == 0:
            taken = Cause.ASSIGNMENT if fill.side is Side.BUY else Cause.EXERCISE
            shares = fill.quantity * instrument.multiplier
            self._keep((*_whose(fill), int((instrument.strike or 0) * 10_000), int(shares)), taken)
            last_day = instrument.expiry
            return Cause.EXPIRY if last_day and fill.time.date() >= last_day else taken
        return self._left.pop((*_whose(fill), int(fill.price * 10_000), int(fill.quantity)), None)

    def _keep(self, place: Delivered, cause: Cause) -> None:
        self._left[place] = cause
        if len(self._left) > _KEPT:
            self._left.popitem(last=False)


class Adjustments:
    """Journals what moved a position and was no order, and calls a person."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._settlements = Settlements()
        self._told: set[str] = set()

    def restore(self, entries: Iterable[Entry]) -> None:
        """Take in which executions were told as adjustments before."""
        for entry in entries:
            if entry.kind == Kind.ADJUSTMENT and "execution_id" in entry.body:
                self._told.add(entry.body["execution_id"])

    def moved_by(self, fill: Execution) -> None:
        """Take an execution that no order of ours explains, or that the broker made by itself."""
        cause = self._settlements.cause(fill)
        # The broker tells the day's executions again after each start; people are called once.
        if cause is not None and fill.execution_id not in self._told:
            self._told.add(fill.execution_id)
            self._adjust(fill, cause)

    def record(
        self,
        broker: str,
        account: str,
        instrument: Instrument,
        change: Decimal,
        cause: Cause,
        facts: Mapping[str, str],
    ) -> None:
        """Journal a change of a position that no order made."""
        self._desk.meters.count("position_adjustments", cause=cause.value).value += 1
        _log.warning("%s of %s by %s at %s", change, instrument, cause.value, broker)
        body = {
            "broker": broker,
            "account": account,
            "instrument": instrument.id,
            "change": str(change),
            "cause": cause.value,
            **facts,
        }
        self._desk.journal.append(self._desk.journal.scribe.row(Kind.ADJUSTMENT, body))

    def _adjust(self, fill: Execution, cause: Cause) -> None:
        """Write down that a position moved without an order, and call a person."""
        self.record(
            fill.broker,
            fill.account,
            fill.instrument,
            fill.change,
            cause,
            {"execution_id": fill.execution_id, "price": str(fill.price)},
        )
        what = f"{fill.quantity} {fill.instrument}"
        if cause is Cause.LIQUIDATION:
            self._desk.page(f"{fill.broker} closed {what} by itself")
        elif cause is not Cause.EXPIRY:
            self._desk.page(f"{cause.value} at {fill.broker}: {fill.side.value} {what}")


def _whose(fill: Execution) -> tuple[str, str, str]:
    return fill.broker, fill.account, fill.instrument.symbol
