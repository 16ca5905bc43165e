"""Positions that moved without an order: what moved them, as far as the executions tell."""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum

from alluse_core.model import Execution, SecurityType, Side

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


def _whose(fill: Execution) -> tuple[str, str, str]:
    return fill.broker, fill.account, fill.instrument.symbol
