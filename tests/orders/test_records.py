"""Records of the journal: what is written comes back as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import pytest
from desk_floor import AAPL, NODE, buy
from hypothesis import given, settings
from hypothesis import strategies as st

from alluse_core.model import (
    Execution,
    Instrument,
    Order,
    OrderIdentity,
    OrderTerms,
    OrderType,
    Side,
    TimeInForce,
)
from alluse_core.model.instrument import ComboLeg
from alluse_core.orders import records
from alluse_core.orders.records import Kind
from alluse_core.testing import VirtualClock

SPREAD = Instrument.combo(
    "SPY",
    (
        ComboLeg(Instrument.stock("SPY"), Side.BUY, 1),
        ComboLeg(Instrument.stock("QQQ"), Side.SELL, 2),
    ),
    "CBOE",
    "EUR",
)


NOW = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


_amounts = st.decimals("0.0001", "1000000", allow_nan=False, places=4)


_orders = st.builds(
    Order,
    st.sampled_from([AAPL, SPREAD, Instrument.forex("EURUSD")]),
    st.sampled_from(Side),
    _amounts,
    st.just(OrderType.STOP_LIMIT),
    st.just("k"),
    limit_price=_amounts,
    stop_price=_amounts,
    outside_rth=st.booleans(),
    reduce_only=st.booleans(),
    broker=st.sampled_from(["fake", "other"]),
    account=st.sampled_from(["", "DU1"]),
)


@settings(max_examples=60, deadline=None)
@given(_orders)
def test_an_order_is_read_back_as_it_was_written(order: Order) -> None:
    written = json.loads(json.dumps(records.order_fields(order)))
    assert records.order_from("k", written) == order
    again = records.order_from("k", written)
    assert records.digest_of(again) == records.digest_of(order)


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": Decimal(101)},
        {"limit_price": Decimal("100.01")},
        {"side": Side.SELL},
        {"time_in_force": TimeInForce.GTC},
        {"time_in_force": TimeInForce.GTD, "good_till": NOW},
        {"outside_rth": True},
        {"reduce_only": True},
        {"account": "DU2"},
        {"broker": "other"},
        {"instrument": Instrument.stock("MSFT")},
        {"order_type": OrderType.STOP, "limit_price": None, "stop_price": Decimal(100)},
        {"order_type": OrderType.MARKET, "limit_price": None},
    ],
)
def test_orders_that_differ_in_one_term_have_different_digests(changes: dict[str, Any]) -> None:
    order = buy("one", broker="fake", account="DU1")
    changed = attrs.evolve(order, **changes)
    assert records.digest_of(order) != records.digest_of(changed)
    assert records.order_from("one", records.order_fields(changed)) == changed


def test_the_same_content_has_the_same_digest_however_it_is_written() -> None:
    zone = records.datetime.fromisoformat("2026-01-05T09:30:00-05:00")
    one = buy("one", time_in_force=TimeInForce.GTD, good_till=NOW)
    two = buy("two", price="100.00", time_in_force=TimeInForce.GTD, good_till=zone)
    assert records.digest_of(one) == records.digest_of(two)


def test_fields_at_their_default_are_left_out() -> None:
    plain = Order.market(AAPL, Side.BUY, 5, key="k", broker="fake", account="DU1")
    assert records.order_fields(plain) == {
        "broker": "fake",
        "account": "DU1",
        "instrument": AAPL.id,
        "side": Side.BUY.value,
        "quantity": "5",
        "type": "MKT",
        "tif": "DAY",
    }


def test_a_fill_and_an_echo_are_read_back_as_they_were_written() -> None:
    for instrument in (AAPL, SPREAD):
        fill = Execution(
            "fake",
            OrderIdentity("AU-1", 7, 8, 9),
            "x.01",
            "DU1",
            instrument,
            Side.SELL,
            Decimal("1.50"),
            Decimal("-3.25"),
            NOW,
            True,
        )
        assert records.execution_from("AU-1", records.execution_fields(fill)) == fill
    terms = OrderTerms(
        SPREAD, Side.BUY, Decimal(5), "LMT", Decimal("9.5"), None, "DAY", "DU1", False
    )
    assert records.terms_fields(terms) == {
        "instrument": records.instrument_fields(SPREAD),
        "side": "BUY",
        "quantity": "5",
        "type": "LMT",
        "limit": "9.5",
        "stop": None,
        "tif": "DAY",
        "account": "DU1",
        "outside_rth": False,
    }
    assert records.terms_fields(attrs.evolve(terms, instrument=None))["instrument"] is None


@pytest.mark.parametrize("written", [None, "0", "-1.50", "1E+3"])
def test_a_number_keeps_its_digits(written: str | None) -> None:
    assert records.text(None if written is None else Decimal(written)) == written
    assert records.text(records.number(written)) == written


def test_without_the_c_encoder_records_are_written_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = [{}, {"b": 1, "a": ["\u00e9", None, 1.5, float("nan")]}, {1: 2}]
    fast = [records._compact()(value) for value in values]
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    assert [records._compact()(value) for value in values] == fast
    assert fast[1] == '{"b":1,"a":["\\u00e9",null,1.5,NaN]}'
    with pytest.raises(TypeError):
        records._dumps({(1, 2): 3})


def test_a_record_names_its_node_and_its_time_to_the_microsecond() -> None:
    clock = VirtualClock(NOW + timedelta(microseconds=123_457))
    scribe = records.Scribe(NODE, clock)
    names = {"tenant": "tenant", "node": "node", "agent": "agent", "incarnation": "incarnation-1"}
    row = scribe.row(Kind.EVENT, {"x": 1}, "k", "r", "ACCEPTED")
    assert json.loads(row.body) == {**names, "x": 1}
    assert row[:5] == (records.microseconds(clock.now()), "event", "k", "r", "ACCEPTED")
    assert row.time == 1_767_623_400_123_457, "what older journals hold"
    assert records.when(row.time) == clock.now()
    assert json.loads(scribe.row(Kind.EVENT, {}).body) == names


def test_a_record_about_no_order_bears_no_names() -> None:
    row = records.Scribe(NODE, VirtualClock()).row(Kind.START, {})
    assert (row.key, row.ref, row.state) == ("", "", "")


def test_a_very_long_record_is_written_like_any_other() -> None:
    fields = {"numbers": list(range(100_000))}
    row = records.Scribe(NODE, VirtualClock()).row(Kind.CONTROL, fields)
    assert json.loads(row.body)["numbers"] == fields["numbers"]
