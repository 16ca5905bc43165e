"""What a client asks for, as values. One record per kind of request that is understood."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

import attrs


@attrs.frozen
class Leg:
    """One leg of a combo, as the client numbered it. The last four come with orders only."""

    con_id: int
    ratio: int
    action: str
    exchange: str
    open_close: int = 0
    short_sale_slot: int = 0
    designated_location: str = ""
    exempt_code: int = -1


@attrs.frozen
class Contract:
    """The twelve fields by which a client names an instrument; empty means "any".

    ``security_id`` (an ISIN, a CUSIP) stands beside them in orders and contract details.
    """

    con_id: int = 0
    symbol: str = ""
    security_type: str = ""
    expiry: str = ""
    strike: Decimal | None = None
    right: str = ""
    multiplier: str = ""
    exchange: str = ""
    primary_exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""
    legs: tuple[Leg, ...] = ()
    security_id_type: str = ""
    security_id: str = ""


@attrs.frozen
class Request:
    """Any request; ``request_id`` is -1 for those that carry none."""

    request_id: int = -1


@attrs.frozen
class StartApi(Request):
    client_id: int = 0
    capabilities: str = ""


@attrs.frozen
class OrderExtras:
    """What an order says beyond the plain terms, as far as it differs from the API's defaults.

    ``terms`` maps the API's own attribute names (``displaySize``, ``settlingFirm``) to the text
    of their fields, numbers and flags checked and in one spelling; a soft dollar tier is
    ``softDollarTier.name`` and ``softDollarTier.value``. Rows are texts of the same kind: prices
    of combo legs, (tag, value) pairs of smart routing and of the algorithm, conditions with their
    type first, and the delta-neutral contract's (conId, delta, price).
    """

    terms: Mapping[str, str] = MappingProxyType({})
    legs: tuple[Leg, ...] = ()
    leg_prices: tuple[str, ...] = ()
    routing: tuple[tuple[str, str], ...] = ()
    algorithm: tuple[tuple[str, str], ...] = ()
    conditions: tuple[tuple[str, ...], ...] = ()
    delta_neutral: tuple[str, ...] = ()


NO_EXTRAS = OrderExtras()


@attrs.frozen(kw_only=True)
class PlaceOrder(Request):
    """A new order, or a change of a living one. ``request_id`` is the client's order id."""

    contract: Contract
    action: str
    quantity: Decimal
    order_type: str
    limit_price: Decimal | None
    aux_price: Decimal | None
    time_in_force: str
    oca_group: str
    account: str
    order_ref: str
    transmit: bool
    parent_id: int
    trigger_method: int
    outside_rth: bool
    good_after: str
    good_till: str
    oca_type: int
    all_or_none: bool
    what_if: bool
    extras: OrderExtras = NO_EXTRAS


@attrs.frozen
class CancelOrder(Request):
    """``manual_time``, ``operator`` and ``manual`` say who cancelled, where a rule asks for it."""

    manual_time: str = ""
    operator: str = ""
    manual: int | None = None


@attrs.frozen
class GlobalCancel(Request):
    operator: str = ""
    manual: int | None = None


@attrs.frozen
class ExerciseOptions(Request):
    """``action`` 1 exercises and 2 lets lapse; ``override`` exercises what is out of the money."""

    contract: Contract = Contract()
    action: int = 0
    quantity: int = 0
    account: str = ""
    override: bool = False


@attrs.frozen
class OpenOrders(Request):
    """``everyone``: of all clients, not the asking one's only."""

    everyone: bool = False


@attrs.frozen
class AutoOpenOrders(Request):
    bind: bool = False


@attrs.frozen
class CompletedOrders(Request):
    api_only: bool = False


@attrs.frozen
class Executions(Request):
    """Filters; an empty field or 0 lets everything pass.

    ``days`` counts back from this one and ``dates`` (``yyyymmdd``) names some; none means this day.
    """

    client_id: int = 0
    account: str = ""
    since: str = ""
    symbol: str = ""
    security_type: str = ""
    exchange: str = ""
    side: str = ""
    days: int = 0
    dates: tuple[str, ...] = ()


@attrs.frozen
class NextIds(Request):
    pass


@attrs.frozen
class ManagedAccounts(Request):
    pass


@attrs.frozen
class CurrentTime(Request):
    """``millis``: the answer is in milliseconds."""

    millis: bool = False


@attrs.frozen
class ServerLogLevel(Request):
    level: int = 0


@attrs.frozen
class ContractDetails(Request):
    contract: Contract = Contract()


@attrs.frozen
class MatchingSymbols(Request):
    pattern: str = ""


@attrs.frozen
class MarketRule(Request):
    pass


@attrs.frozen
class OptionParameters(Request):
    symbol: str = ""
    security_type: str = ""
    con_id: int = 0


@attrs.frozen
class MarketData(Request):
    contract: Contract = Contract()
    generic_ticks: str = ""
    snapshot: bool = False
    regulatory: bool = False


@attrs.frozen
class CancelMarketData(Request):
    pass


@attrs.frozen
class MarketDataType(Request):
    kind: int = 1


@attrs.frozen
class TickByTick(Request):
    """``count`` ticks of the past are sent first."""

    contract: Contract = Contract()
    kind: str = ""
    count: int = 0
    ignore_size: bool = False


@attrs.frozen
class RealTimeBars(Request):
    contract: Contract = Contract()
    what: str = ""
    use_rth: bool = False


@attrs.frozen
class HistoricalData(Request):
    """``duration`` and ``bar_size`` as IBKR writes them, ``epoch`` asks for times as numbers."""

    contract: Contract = Contract()
    end: str = ""
    bar_size: str = ""
    duration: str = ""
    use_rth: bool = False
    what: str = ""
    epoch: bool = False
    keep_up_to_date: bool = False


@attrs.frozen
class HeadTimestamp(Request):
    contract: Contract = Contract()
    what: str = ""
    epoch: bool = False


@attrs.frozen
class CancelHistory(Request):
    """Cancels historical bars (``bars``), a head time stamp, a histogram or real-time bars."""

    bars: bool = False


@attrs.frozen
class HistoricalTicks(Request):
    """``start`` or ``end`` is empty; ``count`` ticks after the one or before the other."""

    contract: Contract = Contract()
    start: str = ""
    end: str = ""
    count: int = 0
    what: str = ""
    use_rth: bool = False


@attrs.frozen
class Histogram(Request):
    """``period`` as IBKR writes it: "3 days"."""

    contract: Contract = Contract()
    use_rth: bool = False
    period: str = ""


@attrs.frozen
class MarketDepth(Request):
    contract: Contract = Contract()
    rows: int = 0
    smart: bool = False


@attrs.frozen
class CancelMarketDepth(Request):
    pass


@attrs.frozen
class CalculateOption(Request):
    """``value`` is the option's price where its volatility is wanted (``implied``), else its
    volatility. None: the client left a number out."""

    contract: Contract = Contract()
    value: float | None = None
    under_price: float | None = None
    implied: bool = False


@attrs.frozen
class CancelCalculation(Request):
    pass


@attrs.frozen
class CancelAnswered(Request):
    """Cancels what is answered as a whole, and so cannot be cancelled any more."""


@attrs.frozen
class CancelTickByTick(Request):
    pass


@attrs.frozen
class AccountUpdates(Request):
    subscribe: bool = False
    account: str = ""


@attrs.frozen
class AccountUpdatesMulti(Request):
    account: str = ""
    model: str = ""
    ledger_and_nlv: bool = False


@attrs.frozen
class AccountSummary(Request):
    group: str = ""
    tags: tuple[str, ...] = ()


@attrs.frozen
class Positions(Request):
    pass


@attrs.frozen
class PositionsMulti(Request):
    account: str = ""
    model: str = ""


@attrs.frozen
class ProfitAndLoss(Request):
    account: str = ""


@attrs.frozen
class ProfitAndLossSingle(Request):
    account: str = ""
    con_id: int = 0


@attrs.frozen
class CancelAccount(Request):
    """Ends a subscription of account data: ``kind`` is the message id that asked for it."""

    kind: int = 0


@attrs.frozen
class Unsupported(Request):
    """A request that TWS knows and this gateway does not do."""

    name: str = ""
