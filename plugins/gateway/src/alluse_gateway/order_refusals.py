"""Why an order is refused for what it asks, before anything is looked up."""

from __future__ import annotations

import attrs

from alluse_gateway import notices
from alluse_gateway.requests import PlaceOrder

_DEPRECATED = {
    "eTradeOnly": (notices.NO_E_TRADE_ONLY, "EtradeOnly"),
    "firmQuoteOnly": (notices.NO_FIRM_QUOTE_ONLY, "FirmQuoteOnly"),
    "nbboPriceCap": (notices.NO_NBBO_PRICE_CAP, "NbboPriceCap"),
}
_BINDING = {
    "deltaNeutralOrderType": "a delta-neutral order",
    "scalePriceIncrement": "a scale order",
    "scaleTable": "a scale order",
    "hedgeType": "a hedge order",
    "algoStrategy": "an algorithm",
    "adjustedOrderType": "an adjusted order",
    "discretionaryAmt": "a discretionary amount",
    "minQty": "a minimum quantity",
    "cashQty": "a cash quantity",
    "activeStartTime": "an active start time",
    "activeStopTime": "an active stop time",
    "autoCancelParent": "autoCancelParent",
    "includeOvernight": "the overnight session",
    "imbalanceOnly": "imbalanceOnly",
    # From here on they are asked for in protobuf only.
    "attachedOrders": "attached orders",
    "deactivate": "deactivate",
    "postOnly": "postOnly",
    "allowPreOpen": "trading before the open",
    "ignoreOpenAuction": "leaving out the opening auction",
    "seekPriceImprovement": "price improvement",
    "routeMarketableToBbo": "routing to the best bid and offer",
    "whatIfType": "a kind of what-if",
    "hedgeMaxSize": "the largest size of a hedge",
    "conditionsIncludeOvernight": "conditions that include the overnight session",
}
"""Terms that change when or how an order may fill. An order without them is another order, so
one with them is refused; every other term is taken and told back.
"""
_ADVISOR = frozenset({"faGroup", "faMethod", "faPercentage", "faProfile"})

_NAMED = frozenset({*_DEPRECATED, *_BINDING, *_ADVISOR})


@attrs.frozen
class Refusal:
    """An error code and its text."""

    code: int
    text: str


def invalid(cause: str) -> Refusal:
    """Return error 321 of an order."""
    return Refusal(notices.VALIDATION, notices.validation("order", cause))


def unsupported(request: PlaceOrder) -> Refusal | None:
    """Return why this gateway would not keep an order's terms, None where it would."""
    extras = request.extras
    terms = extras.terms
    rows = (extras.conditions, extras.delta_neutral, any(extras.leg_prices))
    if terms.keys().isdisjoint(_NAMED) and not any(rows):
        return None
    for name in terms.keys() & _DEPRECATED.keys():
        code, word = _DEPRECATED[name]
        return Refusal(code, f"The '{word}' order attribute is not supported.")
    if not terms.keys().isdisjoint(_ADVISOR):
        return invalid("FA fields are for financial advisors' accounts")
    asked = [what for name, what in _BINDING.items() if name in terms]
    asked += ["conditions"] if extras.conditions else []
    asked += ["a price for each leg of a combo"] if any(extras.leg_prices) else []
    asked += ["a delta-neutral contract"] if extras.delta_neutral else []
    if asked:
        return invalid(f"This simulated gateway does not take {', '.join(dict.fromkeys(asked))}")
    return None
