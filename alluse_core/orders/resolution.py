"""A person's word for an order that no evidence can settle any more."""

from __future__ import annotations

from alluse_core.errors import OrderError, UsageError
from alluse_core.model import OrderState
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.persons import refuse_no_name


def refuse_resolution(live: LiveOrder, as_state: OrderState, by: str) -> None:
    """Raise where an order cannot be settled so.

    UsageError without a name or for a state that is not final; OrderError where the order is not
    UNKNOWN, or its fills contradict the state.
    """
    refuse_no_name(by, "resolving an order")
    if not as_state.is_terminal or as_state is OrderState.DENIED:
        raise UsageError(
            f"an order is resolved as FILLED, CANCELED, REJECTED or EXPIRED, not {as_state.value}"
        )
    if live.state is not OrderState.UNKNOWN:
        raise OrderError(f"order {live.key!r} is {live.state.value}, not UNKNOWN")
    if as_state is OrderState.FILLED:
        return
    whole = live.filled >= live.order.quantity
    if whole or (live.filled and as_state is OrderState.REJECTED):
        raise OrderError(
            f"order {live.key!r} cannot be {as_state.value}: {live.filled} of"
            f" {live.order.quantity} are filled",
            hint="see 'alluse orders show' for its executions",
        )
