"""TWS's word for the state of an order."""

from __future__ import annotations

from alluse_paper.holds import LOCATE
from alluse_paper.orders import ExchangeOrder
from alluse_paper.working import UNTRANSMITTED

from alluse_core.model import OrderState, OrderType

_STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)
_ENDED = {
    OrderState.FILLED: "Filled",
    OrderState.REJECTED: "Inactive",
    OrderState.CANCELED: "Cancelled",
    OrderState.EXPIRED: "Cancelled",
}


def status_of(order: ExchangeOrder) -> tuple[str, str]:
    """Return (status, whyHeld); an empty status for what TWS says nothing of yet."""
    if order.state in _ENDED:
        return _ENDED[order.state], ""
    request = order.request
    stop = request.order_type in _STOPS and not order.triggered
    if order.state is OrderState.HELD:
        if order.reason == UNTRANSMITTED:
            return "", ""
        if request.parent is not None:
            return "PreSubmitted", "child,trigger" if stop else "child"
        return "PreSubmitted", "locate" if order.reason == LOCATE else ""
    if stop:
        return "PreSubmitted", "trigger"
    if order.state is OrderState.SUBMITTED:
        return "PendingSubmit", ""
    # TWS shows a market order as PreSubmitted until it fills.
    return ("PreSubmitted" if request.order_type is OrderType.MARKET else "Submitted"), ""
