"""Every term of an order at every version, judged by the client libraries themselves."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import attrs
import order_samples as samples
import pytest
from alluse_gateway import requests as r
from alluse_gateway.answers import orders as answers
from alluse_gateway.answers.contracts import ContractText
from alluse_gateway.order_terms import echo_of
from alluse_paper.market import Listing
from alluse_paper.orders import NewOrder
from gateway_lab import AAPL, library
from referees import ib_is_told, ib_sends, ibapi_is_told, ibapi_sends, read

from alluse_core.model import OrderType, Side

VERSIONS = range(157, 201)
TEXT = ContractText.of(Listing.of(AAPL, primary_exchange="NASDAQ"))


def echo(request: r.PlaceOrder) -> answers.OrderEcho:
    """The order's echo, with terms that the exchange behind the gateway would refuse as well."""
    stand_in = NewOrder("DU1", AAPL, Side.BUY, request.quantity, OrderType.LIMIT, Decimal(1))
    told = echo_of(request, stand_in, TEXT, 3, 2**40)
    return attrs.evolve(
        told,
        order_type=request.order_type,
        limit_price=request.limit_price,
        aux_price=request.aux_price,
        time_in_force=request.time_in_force,
        oca_group=request.oca_group,
        outside_rth=request.outside_rth,
    )


def placed(shape: str, version: int) -> r.PlaceOrder:
    """What the gateway reads of an order that IBKR's own client sends."""
    contract, order = samples.contract(shape), samples.order(shape, version)
    request = read(version, ibapi_sends(version, lambda c: c.placeOrder(5, contract, order)))
    assert isinstance(request, r.PlaceOrder)
    return request


def differences(order: Any, said: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What of ``said`` the decoded order does not say."""
    found = {name: (value, getattr(order, name)) for name, value in said.items()}
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def rows_of(things: Any) -> list[dict[str, Any]]:
    return [{name: str(value) for name, value in vars(each).items()} for each in things or ()]


def check_rows(shape: str, version: int, contract: Any, order: Any) -> None:
    """The lists of an order: legs, their prices, tags, conditions, the neutral contract."""
    asked, wanted = samples.order(shape, version), samples.contract(shape)
    assert rows_of(contract.comboLegs) == rows_of(wanted.comboLegs)
    assert rows_of(order.orderComboLegs) == rows_of(asked.orderComboLegs)
    for name in ("algoParams", "smartComboRoutingParams"):
        got = [(each.tag, each.value) for each in getattr(order, name) or ()]
        assert got == [(each.tag, each.value) for each in getattr(asked, name) or ()]
    assert [each.make_fields() for each in order.conditions] == [
        each.make_fields() for each in asked.conditions
    ]
    neutral = wanted.deltaNeutralContract
    assert rows_of([contract.deltaNeutralContract] if contract.deltaNeutralContract else []) == (
        rows_of([neutral] if neutral else [])
    )
    assert order.softDollarTier.name == asked.softDollarTier.name
    assert order.softDollarTier.val == asked.softDollarTier.val


CASES = [
    (shape, version)
    for shape in samples.SHAPES
    for version in VERSIONS
    if version >= samples.SINCE.get(shape, 157)
]


@pytest.mark.parametrize("shape", samples.SHAPES)
def test_what_ibapi_sends_of_an_order_openorder_tells_ibapi_back_at_every_version(
    shape: str,
) -> None:
    for version in (version for each, version in CASES if each == shape):
        told = echo(placed(shape, version))
        frame = answers.open_order(
            answers.open_order_parts(told, version), "Submitted", (Decimal("1.5"), "USD"), None, "w"
        )
        ((name, (order_id, contract, order, state)),) = ibapi_is_told(version, frame)
        assert (name, order_id, contract.symbol) == ("openOrder", 5, "AAPL")
        assert (order.permId, order.clientId) == (2**40, 3)
        assert differences(order, samples.terms(shape, version)) == {}, version
        check_rows(shape, version, contract, order)
        assert (state.status, state.commissionAndFees, state.warningText) == ("Submitted", 1.5, "w")


@pytest.mark.parametrize("shape", samples.SHAPES)
def test_a_completed_order_tells_ibapi_the_same_terms_at_every_version(shape: str) -> None:
    for version in (version for each, version in CASES if each == shape):
        told = echo(placed(shape, version))
        frame = answers.completed_order(
            told, version, "Filled", Decimal(7), "20260105 10:00:00 UTC", "Filled Size: 7"
        )
        ((name, (_, order, state)),) = ibapi_is_told(version, frame)
        wanted = samples.terms(shape, version)
        gone = samples.NOT_IN_COMPLETED | {"deltaNeutralSettlingFirm", "deltaNeutralOpenClose"}
        gone |= {"deltaNeutralClearingAccount", "deltaNeutralClearingIntent"}
        wanted = {key: value for key, value in wanted.items() if key not in gone}
        assert name == "completedOrder"
        assert differences(order, wanted) == {}, version
        assert (order.filledQuantity, order.permId) == (7, 2**40)
        assert (state.status, state.completedStatus) == ("Filled", "Filled Size: 7")
        assert [each.make_fields() for each in order.conditions] == [
            each.make_fields() for each in samples.order(shape, version).conditions
        ]


def test_terms_that_openorder_has_no_field_for_are_kept_as_well() -> None:
    for version in VERSIONS:
        terms = placed("every term", version).extras.terms
        for name, (since, value) in samples.NOT_TOLD.items():
            if version >= since:
                assert terms[name] == ("1" if value is True else str(value)), (version, name)
        assert terms["orderMiscOptions"] == "misc=1;"
    assert placed("every term", 199).extras.terms["imbalanceOnly"] == "1"
    assert "imbalanceOnly" not in placed("every term", 198).extras.terms
    assert placed("every term", 192).extras.terms.get("manualOrderIndicator") is None


@pytest.mark.parametrize("shape", samples.SHAPES)
def test_an_order_of_another_versions_length_is_refused(shape: str) -> None:
    contract, order = samples.contract(shape), samples.order(shape, 200)
    fields = ibapi_sends(200, lambda client: client.placeOrder(5, contract, order))
    for wrong in (fields[:-1], [*fields, ""]):
        with pytest.raises(ValueError, match="placeOrder"):
            read(200, wrong)


# --- the other libraries ------------------------------------------------------------------------

IB_VERSIONS = [("ib_insync", range(157, 177)), ("ib_async", range(157, 179))]


def ib_order(lib: Any, shape: str, version: int) -> tuple[Any, Any]:
    """The same order in the classes of ib_insync and ib_async."""
    contract, order = lib.Contract(), lib.Order()
    wanted, asked = samples.contract(shape), samples.order(shape, version)
    contract.conId, contract.symbol, contract.currency = 265598, "AAPL", "USD"
    contract.secType, contract.exchange = wanted.secType, wanted.exchange
    for name in {**samples.terms(shape, version), "transmit": True}:
        value = getattr(asked, name)
        setattr(order, name, float(value) if isinstance(value, Decimal) else value)
    if shape == "combo":
        contract.comboLegs = [lib.ComboLeg(**vars(leg)) for leg in wanted.comboLegs]
        order.orderComboLegs = [lib.OrderComboLeg(1.5), lib.OrderComboLeg()]
        order.smartComboRoutingParams = [lib.TagValue("NonGuaranteed", "1")]
    if shape == "algorithm":
        order.algoParams = [lib.TagValue(each.tag, each.value) for each in asked.algoParams]
    if shape == "delta neutral":
        contract.deltaNeutralContract = lib.DeltaNeutralContract(88, 0.5, 101.5)
    if shape == "conditions":
        made = (
            lib.PriceCondition(1, "a", True, 190.5, 265598, "SMART", 2),
            lib.TimeCondition(3, "o", False, "20260105 10:00:00 UTC"),
            lib.MarginCondition(4, "a", True, 25),
            lib.ExecutionCondition(5, "o", "STK", "SMART", "AAPL"),
            lib.VolumeCondition(6, "a", True, 1000, 265598, "SMART"),
            lib.PercentChangeCondition(7, "o", False, 2.5, 265598, "SMART"),
        )
        order.conditions = list(made)
    return contract, order


@pytest.mark.parametrize(("name", "versions"), IB_VERSIONS)
@pytest.mark.parametrize("shape", samples.SHAPES)
def test_the_ib_libraries_send_and_are_told_the_same_order_at_their_versions(
    name: str, versions: range, shape: str
) -> None:
    async def story() -> None:
        lib = library(name)
        for version in versions:
            if version < samples.SINCE.get(shape, 157):
                continue
            contract, order = ib_order(lib, shape, version)
            fields = ib_sends(
                name, version, lambda client, c=contract, o=order: client.placeOrder(5, c, o)
            )
            request = read(version, fields)
            assert isinstance(request, r.PlaceOrder)
            # ib_async takes a volatility out of what is no volatility order, on purpose.
            sent = placed(shape, version)
            terms = dict(sent.extras.terms)
            for other in ("overridePercentageConstraints", *samples.NOT_TOLD, "orderMiscOptions"):
                terms.pop(other, None)
            if name == "ib_async":
                terms.pop("volatility", None)
            got = {**request.extras.terms}
            if "openClose" not in samples.terms(shape, version):
                assert got.pop("openClose", "O") == "O"
            if "softDollarTier.name" in terms:
                del terms["softDollarTier.name"], terms["softDollarTier.value"]
            assert got == terms, version
            assert attrs.evolve(request.extras, terms={}) == attrs.evolve(sent.extras, terms={})
            told = echo(request)
            frame = answers.open_order(answers.open_order_parts(told, version), "Submitted")
            ((call, arguments),) = ib_is_told(name, version, frame)
            assert (call, arguments[0]) == ("openOrder", 5)
            wanted = samples.terms(shape, version)
            unread = {"duration"} if version == 158 else set()
            unread |= {"volatility"} if name == "ib_async" else set()
            wanted = {key: value for key, value in wanted.items() if key not in unread}
            wrong = differences(arguments[2], wanted)
            assert wrong == {}, version
            assert len(arguments[2].conditions) == len(order.conditions)
            ended = answers.completed_order(told, version, "Filled", Decimal(7), "x", "y")
            ((call, arguments),) = ib_is_told(name, version, ended)
            assert (call, arguments[2].completedStatus) == ("completedOrder", "y")
            assert len(arguments[1].conditions) == len(order.conditions)

    asyncio.run(story())
