"""Combos as clients name them: a contract of type BAG, and legs by their contract numbers."""

from __future__ import annotations

from collections.abc import Callable

from alluse_paper.exchange import Exchange
from alluse_paper.market import Listing

from alluse_core.errors import InstrumentNotFound
from alluse_core.model import ComboLeg, Instrument, Side
from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway.order_refusals import Refusal, invalid

_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL, "SSHORT": Side.SELL}


def combo_of(
    contract: r.Contract, exchange: Exchange, by_number: Callable[[int], Listing | None]
) -> Listing | Refusal:
    """Return the listing of the combo that ``contract`` names, or why it would not be traded."""
    if not contract.legs:
        return invalid("Security type 'BAG' requires combo leg details.")
    legs: list[ComboLeg] = []
    for place, leg in enumerate(contract.legs, 1):
        listing, side = by_number(leg.con_id), _SIDES.get(leg.action)
        if listing is None or side is None or leg.ratio < 1:
            return Refusal(notices.COMBO_LEG_INVALID, notices.combo_leg_invalid(place))
        legs.append(ComboLeg(listing.instrument, side, leg.ratio))
    symbol = contract.symbol or legs[0].instrument.symbol
    currency = contract.currency or legs[0].instrument.currency
    try:
        return exchange.listing(
            Instrument.combo(symbol, tuple(legs), contract.exchange or "SMART", currency)
        )
    except (InstrumentNotFound, ValueError):
        return Refusal(notices.COMBO_INVALID, notices.COMBO_TEXT)


def legs_of(combo: Instrument, number: Callable[[Instrument], int]) -> tuple[r.Leg, ...]:
    """Return the legs of a combo as they are told to clients."""
    return tuple(
        r.Leg(number(leg.instrument), leg.ratio, leg.side.value, leg.instrument.exchange)
        for leg in combo.legs
    )
