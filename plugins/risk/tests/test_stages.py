"""The controls: what each lets through, what it denies, and what its denial says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest
from alluse_risk import settings, stages

from alluse_core.host import Host
from alluse_core.model import (
    AccountMode,
    DataType,
    Instrument,
    InstrumentDefinition,
    LinkState,
    Order,
    OrderGroup,
    OrderState,
    Quote,
    Side,
)
from alluse_core.ports import TradingState, WorkingOrder
from alluse_core.settings import DEFAULT_STAGES
from alluse_core.telemetry import Gauge

AAPL = Instrument.stock("AAPL")
ES = Instrument.future("ES", datetime(2026, 12, 18, tzinfo=UTC).date(), "CME", multiplier=50)


def quote(**changes: Any) -> Quote:
    facts: dict[str, Any] = {"bid": 99.0, "ask": 101.0, "confirmed_at": 1000.0}
    return Quote(AAPL, **{"data_type": DataType.LIVE, **facts, **changes})


@attrs.define
class View:
    """What a stage may look at, set by the test."""

    held: Quote | None = attrs.field(factory=quote)
    positions: Decimal = Decimal(0)
    works: Sequence[WorkingOrder] = ()
    unknown: int = 0
    sent: Sequence[tuple[float, Order]] = ()
    reducing: bool = False
    now: float = 1000.0
    time: datetime = datetime(2026, 1, 5, tzinfo=UTC)
    state: TradingState = TradingState.ACTIVE
    link: LinkState = LinkState.UP
    reconciling: bool = False
    group: OrderGroup | None = None
    account_mode: AccountMode = AccountMode.PAPER

    def quote(self, instrument: Instrument) -> Quote | None:
        return self.held

    def definition(self, instrument: Instrument) -> InstrumentDefinition | None:
        return None

    def position(self, instrument: Instrument) -> Decimal:
        return self.positions

    def working(self, instrument: Instrument | None = None) -> Sequence[WorkingOrder]:
        return self.works

    def unknown_count(self) -> int:
        return self.unknown

    def recent(self, seconds: float) -> Sequence[tuple[float, Order]]:
        return [(at, order) for at, order in self.sent if at > self.now - seconds]

    def account_value(self, name: str) -> Decimal | None:
        return None

    def reduces(self, order: Order) -> bool:
        return self.reducing


def buy(quantity: Any = 10, price: Any = "100", key: str = "k", **more: Any) -> Order:
    return Order.limit(AAPL, Side.BUY, quantity, price, key=key, **more)


def working(side: Side, remaining: int, state: OrderState = OrderState.ACCEPTED) -> WorkingOrder:
    return WorkingOrder("w", AAPL, side, Decimal(remaining), None, state, "DU1")


MEASURED = {
    "max_quantity": (stages.MaxQuantity, settings.MaxQuantitySettings),
    "max_value": (stages.MaxValue, settings.MaxValueSettings),
    "price_collar": (stages.PriceCollar, settings.PriceCollarSettings),
    "message_rate": (stages.MessageRate, settings.MessageRateSettings),
    "stale_quote": (stages.StaleQuote, settings.StaleQuoteSettings),
    "position_cap": (stages.PositionCap, settings.PositionCapSettings),
}
COUNTED = {
    "duplicate_order": (stages.DuplicateOrder, settings.DuplicateOrderSettings),
    "unknown_cap": (stages.UnknownCap, settings.UnknownCapSettings),
}


def stage(name: str, **limits: Any) -> Any:
    if name in MEASURED:
        made, limit_type = MEASURED[name]
        return made(limit_type(**limits), Gauge())
    counted, limit_type = COUNTED[name]
    return counted(limit_type(**limits))


SELL_HIGH = Order.limit(AAPL, Side.SELL, 10, "100", key="k")
MARKET = Order.market(AAPL, Side.BUY, 10, key="k")
STOP = Order.stop(AAPL, Side.SELL, 10, "95", key="k")

ALLOWED = [
    ("max_quantity", {"limit": Decimal(10)}, buy(10), View()),
    ("max_value", {"limit": Decimal(1000)}, buy(10, "100"), View()),
    ("max_value", {"limit": Decimal(1010)}, MARKET, View()),
    ("max_value", {"limit": Decimal(1000)}, SELL_HIGH, View()),
    ("max_value", {"limit": Decimal(1000)}, STOP, View(held=None)),
    ("price_collar", {"percent": Decimal(5)}, buy(10, "105"), View()),
    ("price_collar", {"percent": Decimal(5)}, MARKET, View()),
    ("price_collar", {"percent": Decimal(5)}, STOP, View()),
    ("message_rate", {"limit": 2}, buy(), View(sent=[(999.5, buy(key="a"))])),
    ("message_rate", {"limit": 1}, buy(), View(sent=[(998.5, buy(key="a"))])),
    ("duplicate_order", {}, buy(), View(sent=[(999.5, buy(11, key="a"))])),
    ("duplicate_order", {}, buy(), View(sent=[(998.5, buy(key="a"))])),
    ("duplicate_order", {}, buy(), View(sent=[(999.5, buy())])),
    ("stale_quote", {"max_age": 5.0}, buy(), View(now=1005.0)),
    ("position_cap", {"limit": Decimal(20)}, buy(), View(positions=Decimal(10))),
    ("position_cap", {"limit": Decimal(20)}, buy(), View(works=[working(Side.SELL, 50)])),
    ("unknown_cap", {"limit": 1}, buy(), View(unknown=1)),
]
DENIED = [
    ("max_quantity", {"limit": Decimal(10)}, buy("10.5"), View(), "quantity 10.5 is above 10"),
    ("max_value", {"limit": Decimal(999)}, buy(), View(), "value 1000.00 USD is above 999"),
    ("max_value", {"limit": Decimal(1009)}, MARKET, View(), "value 1010.00 USD"),
    ("max_value", {}, MARKET, View(held=None), "no price to value"),
    ("max_value", {}, MARKET, View(held=quote(ask=math.nan)), "no price to value"),
    ("price_collar", {"percent": Decimal(5)}, buy(10, "105.01"), View(), "outside the collar"),
    ("price_collar", {"percent": Decimal(5)}, buy(10, "94.9"), View(), "outside the collar"),
    ("price_collar", {"percent": Decimal(4)}, STOP, View(), "outside the collar"),
    ("price_collar", {}, MARKET, View(held=None), "no two-sided quote"),
    ("price_collar", {}, buy(), View(held=quote(bid=0.0)), "no two-sided quote"),
    ("price_collar", {}, buy(), View(held=quote(bid=-1.0, ask=1.0)), "no two-sided quote"),
    ("message_rate", {"limit": 1}, buy(), View(sent=[(999.5, buy(key="a"))]), "2 orders in 1 s"),
    ("duplicate_order", {}, buy(), View(sent=[(999.5, buy(key="a"))]), "0.500 s ago as 'a'"),
    ("stale_quote", {"max_age": 5.0}, buy(), View(now=1005.1), "confirmed 5.1 s ago"),
    ("stale_quote", {}, buy(), View(held=None), "no quote of AAPL"),
    ("stale_quote", {}, buy(), View(held=quote(halted=True)), "halted"),
    ("stale_quote", {}, buy(), View(held=quote(data_type=DataType.DELAYED)), "delayed, not live"),
    ("stale_quote", {}, buy(), View(held=quote(ask=98.0)), "crossed"),
    ("stale_quote", {}, buy(), View(held=quote(ask=0.0)), "one-sided"),
    ("stale_quote", {}, buy(), View(held=quote(confirmed_at=math.nan)), "never confirmed"),
    ("position_cap", {"limit": Decimal(19)}, buy(), View(positions=Decimal(10)), "become 20"),
    ("position_cap", {"limit": Decimal(19)}, SELL_HIGH, View(positions=Decimal(-10)), "-20"),
    (
        "position_cap",
        {"limit": Decimal(19)},
        buy(),
        View(works=[working(Side.BUY, 10, OrderState.UNKNOWN)]),
        "become 20",
    ),
    ("unknown_cap", {"limit": 1}, buy(), View(unknown=2), "2 orders are UNKNOWN"),
]


@pytest.mark.parametrize(("name", "limits", "order", "view"), ALLOWED)
def test_what_is_within_its_limit_passes(
    name: str, limits: dict[str, Any], order: Order, view: View
) -> None:
    decision = stage(name, **limits).check(order, view)
    assert decision.allowed, decision.reason


@pytest.mark.parametrize(("name", "limits", "order", "view", "reason"), DENIED)
def test_what_is_beyond_its_limit_is_denied_with_the_reason(
    name: str, limits: dict[str, Any], order: Order, view: View, reason: str
) -> None:
    decision = stage(name, **limits).check(order, view)
    assert not decision.allowed
    assert reason in decision.reason
    assert decision.source


@pytest.mark.parametrize(("name", "limits", "order", "view", "reason"), DENIED)
def test_an_order_proven_to_reduce_risk_passes_every_control(
    name: str, limits: dict[str, Any], order: Order, view: View, reason: str
) -> None:
    assert stage(name, **limits).check(order, attrs.evolve(view, reducing=True)).allowed


def test_a_multiplier_counts_towards_the_value() -> None:
    order = Order.limit(ES, Side.BUY, 1, "5000", key="k")
    limits = {"limit": Decimal(249_999)}
    assert not stage("max_value", **limits).check(order, View(held=None)).allowed
    assert stage("max_value", limit=Decimal(250_000)).check(order, View(held=None)).allowed


@pytest.mark.parametrize(
    ("reduce_only", "reducing", "allowed"),
    [(False, False, True), (True, True, True), (True, False, False)],
)
def test_a_reduce_only_order_needs_the_proof(
    reduce_only: bool, reducing: bool, allowed: bool
) -> None:
    order = buy(reduce_only=reduce_only)
    assert stages.ReduceOnly().check(order, View(reducing=reducing)).allowed is allowed


def test_the_share_of_the_budget_is_what_the_last_order_used() -> None:
    control = stage("max_quantity", limit=Decimal(40))
    control.check(buy(10), View())
    assert control.used.value == 25.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: settings.MaxQuantitySettings(Decimal(0)),
        lambda: settings.PriceCollarSettings(Decimal(-1)),
        lambda: settings.MessageRateSettings(limit=0),
        lambda: settings.DuplicateOrderSettings(seconds=0),
        lambda: settings.UnknownCapSettings(limit=-1),
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"must be|than"):
        make()


def test_every_stage_that_the_default_settings_name_is_offered() -> None:
    assert set(DEFAULT_STAGES) <= set(Host().names("stage"))
