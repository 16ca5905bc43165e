"""The hand-written table of fields against the messages that IBKR's own client was built with."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest
from alluse_gateway.protobuf.schema import schema
from google.protobuf.descriptor import FieldDescriptor

NOT_WRITTEN = {
    # reqConfig and updateConfig read and write the settings of TWS's own windows, which a gateway
    # without windows does not have: both are answered with 505.
    *("ConfigRequest", "ConfigResponse", "UpdateConfigRequest", "UpdateConfigResponse"),
    *("UpdateConfigWarning", "LockAndExitConfig", "MessageConfig", "ApiConfig"),
    *("ApiPrecautionsConfig", "ApiSettingsConfig", "OrdersConfig", "OrdersSmartRoutingConfig"),
}
"""Messages of IBKR's that the table leaves out, and why."""


def referee() -> dict[str, Any]:
    """Return the descriptor of every message in the installed ibapi."""
    package = pytest.importorskip("ibapi.protobuf", reason="ibapi is not installed")
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        file = importlib.import_module(f"ibapi.protobuf.{module.name}").DESCRIPTOR
        found |= file.message_types_by_name
    return found


def shape(message: Any) -> dict[int, tuple[Any, ...]]:
    """Say all of a message that reaches the wire, and its fields' names, by field number."""
    rows: dict[int, tuple[Any, ...]] = {}
    for field in message.fields:
        inner = field.message_type
        is_map = bool(inner and inner.GetOptions().map_entry)
        rows[field.number] = (
            field.name,
            field.type,
            field.is_repeated,
            field.has_presence,
            "map" if is_map else inner.name if inner else "",
            shape(inner) if is_map else None,
        )
    return rows


def test_every_message_of_the_table_is_laid_out_as_ibkrs() -> None:
    theirs = referee()
    for name, message in schema().classes.items():
        assert shape(message.DESCRIPTOR) == shape(theirs[name]), name


def test_no_message_of_ibkrs_is_missing_without_a_reason() -> None:
    assert set(referee()) - set(schema().classes) == NOT_WRITTEN


def test_the_table_is_wide_enough_to_be_worth_comparing() -> None:
    fields = [field for row in schema().fields.values() for field in row.values()]
    assert len(schema().classes) > 180
    assert len(fields) > 800
    assert {field.number for field in schema().fields["Order"].values()} == set(range(1, 146))
    assert FieldDescriptor.TYPE_INT32 == 5  # the number that the shapes compare by


def test_bytes_of_ibkrs_client_are_read_field_by_field() -> None:
    order_module = pytest.importorskip("ibapi.protobuf.PlaceOrderRequest_pb2")
    theirs = order_module.PlaceOrderRequest(orderId=7)
    theirs.order.totalQuantity = "10"
    theirs.order.lmtPrice = 90.5
    theirs.order.algoParams["a"] = "b"
    theirs.contract.comboLegs.add(conId=3, ratio=1)
    ours: Any = schema().classes["PlaceOrderRequest"]()
    ours.ParseFromString(theirs.SerializeToString())
    assert (ours.orderId, ours.order.totalQuantity, ours.order.lmtPrice) == (7, "10", 90.5)
    assert dict(ours.order.algoParams) == {"a": "b"}
    assert ours.contract.comboLegs[0].conId == 3
    assert not ours.order.HasField("auxPrice")
