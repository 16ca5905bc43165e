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
    OrderType,
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


@pytest.mark.parametrize(
    ("name", "limits", "order", "view", "limit", "value", "source"),
    [
        ("max_quantity", {"limit": 10}, buy(11), View(), "10", "11", "RTS 6 Art. 15"),
        ("max_value", {"limit": 999}, buy(3, "333.335"), View(), "999", "1000.00", "RTS 6 Art. 15"),
        ("max_value", {"limit": 999}, MARKET, View(held=None), "999", "", "RTS 6 Art. 15"),
        ("price_collar", {"percent": 5}, buy(1, "108"), View(), "5 %", "8.00 %", "RTS 6 Art. 15"),
        ("price_collar", {"percent": 5}, MARKET, View(held=None), "5 %", "", "RTS 6 Art. 15"),
        (
            *("message_rate", {"limit": 1}, buy(), View(sent=[(999.5, buy(key="a"))])),
            *("1", "2", "RTS 6 Art. 15"),
        ),
        (
            *("duplicate_order", {"seconds": 2.0}, buy(), View(sent=[(999.5, buy(key="a"))])),
            *("2 s", "0.500 s", "SEC 15c3-5"),
        ),
        ("stale_quote", {"max_age": 2.5}, buy(), View(held=None), "2.5 s", "", "FIA 2015"),
        ("position_cap", {"limit": 9}, SELL_HIGH, View(), "9", "-10", "FIA 2015"),
        ("unknown_cap", {"limit": 1}, buy(), View(unknown=2), "1", "2", "house rule"),
    ],
)
def test_a_denial_names_its_limit_its_value_and_its_source(
    name: str,
    limits: dict[str, Any],
    order: Order,
    view: View,
    limit: str,
    value: str,
    source: str,
) -> None:
    exact = {each: Decimal(n) if isinstance(n, int) else n for each, n in limits.items()}
    if name in ("message_rate", "unknown_cap"):
        exact = limits
    decision = stage(name, **exact).check(order, view)
    assert (decision.limit, decision.value, decision.source) == (limit, value, source)


def test_a_reduce_only_denial_names_the_quantity_and_the_position() -> None:
    view = View(positions=Decimal(-3))
    decision = stages.ReduceOnly().check(buy(reduce_only=True), view)
    assert decision.reason == "BUY 10 could enlarge or flip the position of -3"
    assert (decision.value, decision.source) == ("10", "nautilus_trader")


def test_a_group_counts_each_of_its_orders_as_a_message() -> None:
    group = OrderGroup.bracket(buy(), take_profit="110", stop="90")
    view = View(group=group, sent=[(999.5, buy(key="a"))])
    assert stage("message_rate", limit=4).check(buy(), view).allowed
    assert "4 orders" in stage("message_rate", limit=3).check(buy(), view).reason


def test_a_sale_is_worth_what_the_market_pays_where_that_is_more_than_its_limit() -> None:
    sale = Order.limit(AAPL, Side.SELL, 10, "50", key="k")
    assert "value 990.00" in stage("max_value", limit=Decimal(989)).check(sale, View()).reason
    assert stage("max_value", limit=Decimal(500)).check(sale, View(held=None)).allowed
    purchase = buy(10, "50")
    assert stage("max_value", limit=Decimal(500)).check(purchase, View()).allowed
    prices = {"limit_price": Decimal(49), "stop_price": Decimal(50)}
    stop = Order(AAPL, Side.SELL, Decimal(10), OrderType.STOP_LIMIT, "k", **prices)
    assert stage("max_value", limit=Decimal(500)).check(stop, View()).allowed


def test_a_collar_reaches_as_far_around_a_price_below_zero() -> None:
    view = View(held=quote(bid=-101.0, ask=-99.0))
    assert stage("price_collar", percent=Decimal(5)).check(buy(1, "-105"), view).allowed
    assert not stage("price_collar", percent=Decimal(5)).check(buy(1, "-106"), view).allowed


@pytest.mark.parametrize(("name", "limits", "order", "view"), ALLOWED)
def test_a_control_tells_the_share_of_its_limit_that_an_order_uses(
    name: str, limits: dict[str, Any], order: Order, view: View
) -> None:
    if name not in MEASURED:
        return
    control = stage(name, **limits)
    control.check(order, view)
    assert 0.0 <= control.used.value <= 100.0


@pytest.mark.parametrize(
    ("name", "limits", "order", "view", "share"),
    [
        ("max_value", {"limit": Decimal(4000)}, buy(), View(), 25.0),
        ("price_collar", {"percent": Decimal(10)}, buy(1, "105"), View(), 50.0),
        ("message_rate", {"limit": 5}, buy(), View(), 20.0),
        ("stale_quote", {"max_age": 5.0}, buy(), View(now=1001.0), 20.0),
        ("position_cap", {"limit": Decimal(40)}, SELL_HIGH, View(), 25.0),
    ],
)
def test_the_share_is_that_of_the_limit_in_force(
    name: str, limits: dict[str, Any], order: Order, view: View, share: float
) -> None:
    control = stage(name, **limits)
    control.check(order, view)
    assert control.used.value == share


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


def test_the_limits_are_these_unless_the_settings_say_otherwise() -> None:
    assert settings.MaxQuantitySettings().limit == 10_000
    assert settings.MaxValueSettings().limit == 1_000_000
    assert settings.PriceCollarSettings().percent == 10
    rate = settings.MessageRateSettings()
    assert (rate.limit, rate.seconds) == (200, 1.0)
    assert settings.DuplicateOrderSettings().seconds == 1.0
    assert settings.StaleQuoteSettings().max_age == 5.0
    assert settings.PositionCapSettings().limit == 20_000
    assert settings.UnknownCapSettings().limit == 3


def test_a_limit_may_be_as_small_as_is_meant() -> None:
    assert settings.PriceCollarSettings(Decimal("0.5")).percent == Decimal("0.5")
    assert settings.MessageRateSettings(1, 0.5).seconds == 0.5
    assert settings.DuplicateOrderSettings(0.5).seconds == 0.5
    assert settings.StaleQuoteSettings(0.5).max_age == 0.5


def test_every_stage_that_the_default_settings_name_is_offered() -> None:
    assert set(DEFAULT_STAGES) <= set(Host().names("stage"))
