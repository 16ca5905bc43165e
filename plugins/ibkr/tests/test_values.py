"""What goes out and what comes in, value by value, without a connection."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alluse_ibkr import contracts, orders
from alluse_ibkr.client import Library, load
from alluse_ibkr.contracts import ContractBook
from alluse_ibkr.ticks import Line
from alluse_ibkr.wireformat import (
    bar_time,
    exact,
    number_in,
    plain,
    wire_bar_size,
    wire_duration,
)
from ibkr_lab import AAPL, CALL, FUTURE, LIBRARIES, Lab, connected, gateway

from alluse_core.errors import NotSent, PluginError, SettingsError
from alluse_core.model import (
    BrokerStatus,
    ComboLeg,
    DataType,
    Instrument,
    InstrumentDefinition,
    Order,
    OrderIdentity,
    Side,
    TimeInForce,
)
from alluse_core.ports import OrderMessage

both = pytest.mark.parametrize("library", LIBRARIES)


def loaded(name: str) -> Library:
    async def inside() -> Library:
        return load(name)

    return asyncio.run(inside())


def line() -> Line:
    return Line(AAPL, DataType.LIVE)


# --- ticks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "size"), [(-1.0, 0.0), (0.0, 0.0), (0.0, 5.0), (1.7976931348623157e308, 1.0)]
)
def test_a_sentinel_price_is_absent_and_takes_its_size_with_it(price: float, size: float) -> None:
    made = line()
    made.price(1, 10.0, 5.0)
    made.price(1, price, size)
    quote = made.make(1.0, "x")
    assert math.isnan(quote.bid)
    assert math.isnan(quote.bid_size)


def test_a_negative_price_with_a_size_is_real() -> None:
    made = line()
    made.price(1, -0.5, 3.0)
    assert made.make(1.0, "x").bid == -0.5


def test_ticks_of_other_kinds_touch_nothing() -> None:
    made = line()
    assert not made.price(6, 10.0, 1.0)
    assert not made.price(76, 10.0, 1.0)
    assert not made.size(21, 10.0)


def test_sizes_go_to_their_side_and_zero_is_absent_but_for_volume() -> None:
    made = line()
    for kind, size in ((0, 1.0), (3, 2.0), (5, 3.0), (8, 0.0)):
        assert made.size(kind, size)
    quote = made.make(1.0, "x")
    assert (quote.bid_size, quote.ask_size, quote.last_size, quote.volume) == (1.0, 2.0, 3.0, 0.0)
    made.size(0, 0.0)
    made.size(8, -1.0)
    quote = made.make(2.0, "x")
    assert math.isnan(quote.bid_size)
    assert math.isnan(quote.volume)


def test_one_delayed_price_makes_the_quote_delayed_until_a_live_one_replaces_it() -> None:
    made = line()
    made.price(1, 10.0, 1.0)
    made.price(67, 10.1, 1.0)
    quote = made.make(1.0, "x")
    assert (quote.ask, quote.data_type) == (10.1, DataType.DELAYED)
    assert not quote.priceable
    made.price(2, 10.2, 1.0)
    assert made.make(2.0, "x").data_type is DataType.LIVE
    made.data_type = DataType.DELAYED_FROZEN
    made.price(68, 10.0, 1.0)
    assert made.make(3.0, "x").data_type is DataType.DELAYED_FROZEN


def test_the_venues_time_and_a_halt_are_carried() -> None:
    made = line()
    made.time, made.halted = 1_700_000_000, True
    quote = made.make(1.0, "x")
    assert quote.time == datetime.fromtimestamp(1_700_000_000, UTC)
    assert quote.halted
    made.reset(DataType.UNKNOWN)
    assert made.make(2.0, "x").time is None
    assert not made.make(3.0, "x").halted


# --- orders --------------------------------------------------------------------------------------


@both
def test_everything_that_a_preset_could_fill_in_is_sent(library: str) -> None:
    order = Order.stop(
        AAPL,
        Side.SELL,
        "1.50",
        "99.10",
        key="k",
        limit_price="98.999",
        time_in_force=TimeInForce.GTD,
        good_till=datetime(2026, 1, 5, 9, 30, tzinfo=UTC) + timedelta(hours=1),
        outside_rth=True,
        account="DU1",
    )
    message = OrderMessage(order, "au-1", 7, 5, "group", False)
    sent = orders.to_wire(loaded(library), message, 17)
    assert (sent.orderId, sent.clientId, sent.parentId, sent.transmit) == (7, 17, 5, False)
    assert (sent.action, sent.totalQuantity, sent.orderType) == ("SELL", "1.50", "STP LMT")
    assert (sent.lmtPrice, sent.auxPrice) == ("98.999", "99.10")
    assert (sent.tif, sent.goodTillDate) == ("GTD", "20260105-10:30:00")
    assert (sent.account, sent.outsideRth, sent.orderRef) == ("DU1", True, "au-1")
    assert (sent.ocaGroup, sent.ocaType) == ("group", 1)


@both
def test_an_order_has_nothing_of_the_one_before(library: str) -> None:
    there = loaded(library)
    first = Order.stop(AAPL, Side.SELL, 1, "99", key="k", limit_price="98", account="DU1")
    orders.to_wire(there, OrderMessage(first, "au-1", 7, 5, "group", False), 17)
    second = Order.market(AAPL, Side.BUY, 2, key="l", account="DU1")
    sent = orders.to_wire(there, OrderMessage(second, "au-2", 8), 17)
    named = {"orderId": 8, "clientId": 17, "action": "BUY", "totalQuantity": "2"}
    named |= {"orderType": "MKT", "tif": "DAY", "account": "DU1", "orderRef": "au-2"}
    assert vars(sent) == {**vars(type(there.blank_order)()), **named, "transmit": True}


def test_text_that_would_break_a_message_apart_is_not_sent() -> None:
    order = Order.limit(AAPL, Side.BUY, 1, "1", key="k", account="DU1")
    with pytest.raises(NotSent):
        orders.to_wire(loaded("ib_insync"), OrderMessage(order, "a\0b", 1), 17)
    book = ContractBook(loaded("ib_insync"))
    with pytest.raises(NotSent):
        book.contract(Instrument.stock("AÄPL"))
    assert plain("") == ""


@pytest.mark.parametrize(
    ("text", "why", "status"),
    [
        ("ApiPending", "", BrokerStatus.PENDING),
        ("PendingSubmit", "", BrokerStatus.PENDING),
        ("PreSubmitted", "", BrokerStatus.WORKING),
        ("PreSubmitted", "locate", BrokerStatus.HELD),
        ("Submitted", "", BrokerStatus.WORKING),
        ("PendingCancel", "", BrokerStatus.PENDING_CANCEL),
        ("ApiCancelled", "", BrokerStatus.CANCELED),
        ("Cancelled", "", BrokerStatus.CANCELED),
        ("Filled", "", BrokerStatus.FILLED),
        ("Inactive", "", BrokerStatus.HELD),
        ("SomethingNew", "", BrokerStatus.PENDING),
    ],
)
def test_a_status_word_is_never_taken_for_an_end_that_it_is_not(
    text: str, why: str, status: BrokerStatus
) -> None:
    assert orders.status_of(text, why) is status


def test_inactive_is_a_reject_only_after_a_reject() -> None:
    def report(reject: str | None) -> BrokerStatus:
        name = OrderIdentity("r", 9, 1, 17)
        return orders.order_status("m", name, "Inactive", 0, 10, 0, "", reject).status

    assert report(None) is BrokerStatus.HELD
    assert report("margin") is BrokerStatus.REJECTED


def completed(status: str, total: float, filled: float) -> Any:
    order = SimpleNamespace(
        orderRef="r", permId=9, orderType="LMT", lmtPrice=1.5, auxPrice=0.0, action="SELL"
    )
    order.totalQuantity, order.filledQuantity = total, filled
    order.tif, order.account, order.outsideRth = "DAY", "DU1", False
    state = SimpleNamespace(status=status, completedStatus="why", completedTime="")
    return orders.completed_order("m", AAPL, order, state)


def test_a_completed_order_is_named_by_perm_id_and_reference_alone() -> None:
    report = completed("Cancelled", 10.0, 4.0)
    assert (report.identity.order_ref, report.identity.perm_id) == ("r", 9)
    assert (report.identity.order_id, report.identity.client_id) == (0, 0)
    assert (report.filled, report.remaining) == (4, 6)
    assert report.reason == "why"
    assert completed("Inactive", 10.0, 0.0).status is BrokerStatus.REJECTED
    assert completed("Filled", 0.0, 10.0).remaining == 0
    assert completed("Cancelled", 10.0, sys.float_info.max).filled is None


def test_an_absent_realized_profit_is_none() -> None:
    report = SimpleNamespace(
        execId="e", commission=1.25, currency="USD", realizedPNL=sys.float_info.max
    )
    assert orders.commission("m", report).realized is None


# --- contracts -----------------------------------------------------------------------------------


def test_a_contract_is_made_once_and_anew_when_its_number_is_known() -> None:
    book = ContractBook(loaded("ib_insync"))
    unknown = book.contract(CALL)
    assert (unknown.conId, unknown.strike, book.contract(CALL)) == (0, 100.0, unknown)
    book.keep(InstrumentDefinition(CALL, "11"))
    known = book.contract(CALL)
    assert (known.conId, known.strike) == (11, 100.0)
    assert book.contract(CALL) is known


def test_a_combo_needs_its_legs_numbers_first() -> None:
    book = ContractBook(loaded("ib_insync"))
    other = Instrument.option("AAPL", date(2030, 1, 18), 110, "C")
    combo = Instrument.combo("AAPL", (ComboLeg(CALL, Side.BUY), ComboLeg(other, Side.SELL, 2)))
    with pytest.raises(NotSent, match="no contract number"):
        book.contract(combo)
    book.keep(InstrumentDefinition(CALL, "11"))
    book.keep(InstrumentDefinition(other, "12"))
    legs = [(leg.conId, leg.ratio, leg.action) for leg in book.contract(combo).comboLegs]
    assert legs == [(11, 1, "BUY"), (12, 2, "SELL")]
    assert book.instrument(SimpleNamespace(conId=0, secType="BAG")) is None
    assert book.instrument(SimpleNamespace(conId=0, secType="BOND")) is None


def test_numbers_are_kept_from_run_to_run(tmp_path: Path) -> None:
    path = tmp_path / "contracts.json"
    vague = Instrument.future("ES", date(2030, 3, 15), "CME")
    ContractBook(loaded("ib_insync"), path).learn(77, vague)
    again = ContractBook(loaded("ib_insync"), path)
    assert again.instrument(SimpleNamespace(conId=77)) is vague
    path.write_text("not json")
    fresh = ContractBook(loaded("ib_insync"), path)
    contract = fresh.contract(FUTURE)
    contract.conId = 77
    assert fresh.instrument(contract) is FUTURE


def test_the_rule_of_the_exchange_that_the_order_goes_to_is_taken() -> None:
    details = SimpleNamespace(validExchanges="SMART,NYSE", marketRuleIds="26,557")
    assert contracts.rule_number(details, "NYSE") == 557
    assert contracts.rule_number(details, "SMART") == 26
    assert contracts.rule_number(SimpleNamespace(validExchanges="", marketRuleIds=""), "X") is None


def test_liquid_hours_are_utc_and_skip_closed_days() -> None:
    text = "20260105:0930-20260105:1600;20260106:CLOSED"
    ((begin, end),) = contracts.liquid_hours(text, "US/Eastern")
    assert begin == datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
    assert end == datetime(2026, 1, 5, 21, 0, tzinfo=UTC)
    assert contracts.liquid_hours(text, "Nowhere/Land") == ()


# --- the wire ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0.1, 1e-7, 1e22, -0.0, 123456.789, 2.0**53, -17.25, 5e-324])
def test_a_float_keeps_the_digits_that_it_came_with(number: float) -> None:
    assert exact(number) == Decimal(str(number))
    assert exact(number) == exact(str(number))


def test_unset_numbers_are_none_and_the_rest_is_exact() -> None:
    for unset in ("", None, sys.float_info.max, math.nan, 2147483647):
        assert exact(unset) is None
    assert exact(0.1) == Decimal("0.1")
    assert str(exact(100.0)) == "100"
    assert number_in("INDIVIDUAL") is None
    assert number_in("12.50") == Decimal("12.5")


def test_durations_and_bar_sizes_have_the_apis_names() -> None:
    assert wire_duration(timedelta(minutes=30)) == "1800 S"
    assert wire_duration(timedelta(days=3)) == "3 D"
    assert wire_duration(timedelta(days=800)) == "3 Y"
    assert wire_bar_size(timedelta(minutes=1)) == "1 min"
    with pytest.raises(ValueError, match="5 secs"):
        wire_bar_size(timedelta(seconds=7))


def test_bar_times_of_all_three_forms_are_utc() -> None:
    assert bar_time("20260105") == datetime(2026, 1, 5, tzinfo=UTC)
    assert bar_time("1700000000") == datetime.fromtimestamp(1_700_000_000, UTC)
    assert bar_time("20260105 09:30:00 US/Eastern") == datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


# --- settings and the library --------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"library": "ibapi"},
        {"port": 0},
        {"client_id": -1},
        {"data_client_id": 17},
        {"market_data_type": 5},
        {"heartbeat": 0.0},
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Lab(**wrong)


def test_a_library_that_is_missing_says_how_to_get_it() -> None:
    with pytest.raises(PluginError) as caught:
        loaded("ib_missing")
    assert "pip install ib_missing" in caught.value.hint


def test_registering_imports_neither_library() -> None:
    code = (
        "import sys, alluse_ibkr.plugin, alluse_ibkr.broker;"
        "sys.exit(bool({'ib_insync', 'ib_async', 'eventkit'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_library_is_imported_in_a_thread_without_a_warning() -> None:
    code = (
        "import asyncio, threading\n"
        "from alluse_ibkr.client import load\n"
        "found = []\n"
        "async def main(): found.append(load('ib_insync').name)\n"
        "def run():\n"
        "    loop = asyncio.new_event_loop()\n"
        "    loop.run_until_complete(main())\n"
        "    loop.close()\n"
        "thread = threading.Thread(target=run)\n"
        "thread.start(); thread.join()\n"
        "assert found == ['ib_insync']\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_provider_opens_an_unconnected_broker_with_its_capabilities() -> None:
    from alluse_ibkr.plugin import alluse_brokers

    (provider,) = alluse_brokers()
    assert provider.name == "ibkr"
    broker = Lab(max_lines=7).broker
    assert broker.capabilities.quote_lines == 7
    assert broker.capabilities.numeric_order_ids
    assert broker.capabilities.messages_per_second == 50
    assert (broker.accounts, broker.order_id_floor) == ((), 0)


def test_a_watchdog_that_fails_is_armed_again() -> None:
    """Lean.IB #246: the monitor switched off by the failure itself."""

    async def story() -> None:
        async with gateway() as gate:
            lab = Lab(port=gate.port, heartbeat=0.05)
            async with connected(lab) as broker:
                connection = broker._orders
                asked = []

                async def broken(*_: object) -> float:
                    asked.append(1)
                    if len(asked) == 1:
                        raise ZeroDivisionError
                    return 0.0

                connection._round_trip = broken
                loop = asyncio.get_running_loop()
                deadline = loop.time() + 5
                while len(asked) < 3:
                    assert loop.time() < deadline
                    await asyncio.sleep(0.01)
                assert lab.sample("watchdog_failures", role="orders") == 1

    asyncio.run(story())
