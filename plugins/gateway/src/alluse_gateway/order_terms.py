"""From a placeOrder to an order of the exchange: what is decided without looking at the book."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alluse_paper.market import Listing
from alluse_paper.orders import NewOrder, OcaRule, OrderHeld

from alluse_core.model import OrderType, Side, TimeInForce
from alluse_gateway import notices
from alluse_gateway.answers.contracts import ContractText
from alluse_gateway.answers.orders import OrderEcho
from alluse_gateway.order_prices import CLOSES, TYPES, prices_of
from alluse_gateway.order_refusals import Refusal as Refusal
from alluse_gateway.order_refusals import invalid, unsupported
from alluse_gateway.requests import PlaceOrder

if TYPE_CHECKING:
    from alluse_gateway.order_book import Booked

_HELD_ZONE = ZoneInfo("America/New_York")
_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL, "SSHORT": Side.SELL}
_TIFS = {each.value: each for each in TimeInForce}
_OCA = {2: OcaRule.REDUCE, 3: OcaRule.REDUCE_WITHOUT_BLOCK}


def new_order(
    request: PlaceOrder, listing: Listing, accounts: tuple[str, ...], parent: int | None
) -> NewOrder | Refusal:
    """Return the exchange's order, or why TWS would not take it.

    ``parent`` is the permanent number of the order that ``parent_id`` names.
    """
    side = _SIDES.get(request.action)
    kind = TYPES.get(request.order_type)
    tif = _TIFS.get(request.time_in_force)
    if side is None:
        return invalid(f"Invalid side {request.action!r}")
    if kind is None:
        return Refusal(
            notices.ORDER_TYPE, "Unsupported order type for this exchange and security type."
        )
    if tif is None:
        return invalid(f"Invalid time in force {request.time_in_force!r}")
    refusal = unsupported(request)
    if refusal is not None:
        return refusal
    size = _size(request, listing)
    if size is not None:
        return size
    account = request.account or (accounts[0] if len(accounts) == 1 else "")
    if account not in accounts:
        cause = "Invalid account code" if account else "You must specify an account"
        return invalid(f"{cause} '{account}'.")
    prices = prices_of(request, listing)
    if isinstance(prices, Refusal):
        return prices
    at_close = request.order_type in CLOSES
    if at_close and tif is not TimeInForce.DAY:
        return Refusal(notices.CLOSE_TIF, notices.CLOSE_TIF_TEXT)
    good_till = moment(request.good_till) if request.good_till else None
    if (tif is TimeInForce.GTD) and good_till is None:
        return invalid("Invalid date/time format of the good-till date")
    good_after = moment(request.good_after) if request.good_after else None
    if request.good_after and good_after is None:
        return invalid("Invalid date/time format of the good-after time")
    return NewOrder(
        account=account,
        instrument=listing.instrument,
        side=side,
        quantity=request.quantity,
        order_type=kind,
        limit_price=prices.limit,
        stop_price=prices.stop,
        time_in_force=tif,
        outside_rth=request.outside_rth,
        good_till=good_till if tif is TimeInForce.GTD else None,
        oca_group=request.oca_group,
        oca_rule=_OCA.get(request.oca_type, OcaRule.CANCEL),
        parent=parent,
        transmit=request.transmit,
        good_after=good_after,
        all_or_none=request.all_or_none,
        trail=prices.trail,
        trail_percent=prices.trail_percent,
        trail_limit=prices.trail_limit,
        at_close=at_close,
    )


def _size(request: PlaceOrder, listing: Listing) -> Refusal | None:
    """Return why the quantity would not be taken."""
    size = request.quantity
    if size == 0:
        return Refusal(notices.ZERO_SIZE, notices.ZERO_SIZE_TEXT)
    if size < 0:
        return invalid("The size value cannot be zero or negative")
    if size % 1 and not listing.size_increment % 1:
        return Refusal(notices.FRACTIONAL_SIZE, notices.FRACTIONAL_TEXT)
    if size < listing.min_size:
        return Refusal(notices.SIZE_BELOW_MINIMUM, notices.below_minimum(size, listing.min_size))
    return None


def echo_of(
    request: PlaceOrder,
    order: NewOrder,
    contract: ContractText,
    client_id: int,
    perm_id: int,
    parent_perm_id: int = 0,
) -> OrderEcho:
    """Return the order's terms as they go back to clients."""
    return OrderEcho(
        order_id=request.request_id,
        client_id=client_id,
        perm_id=perm_id,
        parent_id=request.parent_id,
        parent_perm_id=parent_perm_id,
        contract=contract,
        action=order.side.value,
        quantity=order.quantity,
        order_type=face(order)[0],
        limit_price=order.limit_price,
        aux_price=face(order)[1],
        time_in_force=order.time_in_force.value,
        oca_group=order.oca_group,
        oca_type=request.oca_type or 3,
        account=order.account,
        order_ref=request.order_ref,
        outside_rth=order.outside_rth,
        good_after=request.good_after,
        good_till=request.good_till,
        trigger_method=request.trigger_method,
        what_if=request.what_if,
        all_or_none=request.all_or_none,
        extras=request.extras,
    )


def face(order: NewOrder) -> tuple[str, Decimal | None]:
    """Return an order's type and auxiliary price by TWS's names.

    For a trailing stop that price is the distance at which it follows, not the stop.
    """
    kind = order.order_type
    if order.trail is not None or order.trail_percent is not None:
        return ("TRAIL" if kind is OrderType.STOP else "TRAIL LIMIT"), order.trail
    if order.at_close:
        return ("MOC" if kind is OrderType.MARKET else "LOC"), None
    return kind.value, order.stop_price


def held_text(booked: Booked, event: OrderHeld) -> str:
    """Return the text of notice 399 for an order that waits."""
    request, listing = event.order.request, booked.echo.contract.listing
    where = listing.primary_exchange or request.instrument.exchange
    text = f"Order Message:\n{request.side.value} {request.quantity} {listing.local_symbol} {where}"
    if event.until is None:
        return f"{text}\nWarning: your order is held: {event.reason}"
    until = f"{event.until.astimezone(_HELD_ZONE):%Y-%m-%d %H:%M:%S} US/Eastern"
    return f"{text}\nWarning: your order will not be placed at the exchange until {until}"


def moment(written: str) -> datetime | None:
    """Read ``yyyymmdd hh:mm:ss [zone]`` or ``yyyymmdd-hh:mm:ss`` (UTC); None where it is neither.

    Without a zone it is UTC, the zone that this gateway names in its greeting.
    """
    day, _, rest = written.strip().replace("-", " ", 1).partition(" ")
    clock, _, name = rest.strip().partition(" ")
    try:
        zone = ZoneInfo(name.strip()) if name.strip() else UTC
        if not clock:
            return datetime.strptime(day, "%Y%m%d").replace(tzinfo=zone)
        return datetime.strptime(f"{day} {clock}", "%Y%m%d %H:%M:%S").replace(tzinfo=zone)
    except (ValueError, ZoneInfoNotFoundError, OSError):
        return None
