"""Framing, fields and request decoders: what is malformed is told, never an uncaught error."""

from __future__ import annotations

import contextlib
import struct
from decimal import Decimal

import pytest
from alluse_gateway import requests as r
from alluse_gateway import wire
from alluse_gateway.answers import system
from alluse_gateway.decode import NAMES, UnknownMessage, UnreadableMessage, decode
from alluse_gateway.handshake import Offer, negotiate, read_offer
from hypothesis import given, settings
from hypothesis import strategies as st

CONTRACT = ["0", "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", ""]


def order_fields(version: int = 176, **changes: str) -> list[str]:
    """A plain limit order as ib_insync lays it out."""
    row = ["3", "5", *CONTRACT, "", "", "BUY", "10", "LMT", "99.5", "", "DAY", "", "DU1", "O", "0"]
    row += ["ref", "1", "0", "0", "0", "0", "0", "0", "0"]  # orderRef ... hidden
    row += ["", "0.0", "", "", "", "", ""] + ([""] if version < 177 else [])
    row += ["", "0", "", "-1", "0", "", "", "0", "", "", "0", "0", "", "0", "", "", "", "", "", "0"]
    row += ["", "", "", "", "0", "", "", "", "", "", "", "", "", "", ""]
    row += ["0", "", "", "0", "0", "", "", "0", "", "0", "0", "0", "0"]
    row += ["", "", "", "", "", "", "0", "", "", "", "", "", "", "", "", "0", "0", "0", "0"]
    row += [""] * sum(version >= since for since in (158, 160, 162, 166, 169, 183))
    row += ["0"] * (version >= 184) + ["", "2147483647"] * (187 <= version < 190)
    row += ["0"] * (version >= 189) + ["2147483647"] * (version >= 192) + ["0"] * (version >= 199)
    for name, value in changes.items():
        row[int(name[1:])] = value
    return row


def test_an_order_has_115_fields_at_version_176() -> None:
    assert len(order_fields()) == 115
    order = decode(order_fields(), 176)
    assert isinstance(order, r.PlaceOrder)
    assert (order.request_id, order.limit_price, order.aux_price) == (5, Decimal("99.5"), None)
    assert (order.order_ref, order.transmit, order.what_if) == ("ref", True, False)


@pytest.mark.parametrize("version", range(157, 201))
def test_an_order_is_read_at_every_version_and_at_no_other_length(version: int) -> None:
    fields = order_fields(version)
    assert isinstance(decode(fields, version), r.PlaceOrder)
    for wrong in (fields[:-1], [*fields, ""]):
        with pytest.raises(UnreadableMessage) as caught:
            decode(wrong, version)
        assert caught.value.request_id == 5


def test_what_an_order_asks_for_and_is_not_done_is_named() -> None:
    fields = order_fields()
    at = 83
    algorithm = [*fields[:at], "Adaptive", "1", "adaptivePriority", "Normal", *fields[at + 1 :]]
    order = decode(algorithm, 176)
    assert isinstance(order, r.PlaceOrder)
    assert order.extras.algorithm == (("adaptivePriority", "Normal"),)


@pytest.mark.parametrize(
    "unset", ["", "1.7976931348623157E308", "1.7976931348623157e+308", "2147483647"]
)
def test_all_spellings_of_an_unset_number_read_as_none(unset: str) -> None:
    assert wire.to_decimal(unset) is None
    assert wire.to_int(unset if "." not in unset else "", -7) == -7


@pytest.mark.parametrize("bad", ["nan", "-Infinity", "1e400000", "1e20", "abc", "1e-300"])
def test_a_number_that_no_order_can_have_is_refused_or_unset(bad: str) -> None:
    with contextlib.suppress(wire.FieldError):
        assert wire.to_decimal(bad) is None


@pytest.mark.parametrize("number", ["2147483648", "-2147483649", "7000170001", "9" * 30])
def test_an_integer_of_more_than_32_bits_is_refused(number: str) -> None:
    # TWS reads every integer of a request into 32 bits, and so do the answers that repeat it.
    with pytest.raises(wire.FieldError):
        wire.to_int(number)


@given(st.lists(st.binary(max_size=60), max_size=12), st.data())
def test_frames_survive_any_cutting(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(struct.pack(">I", len(payload)) + payload for payload in payloads)
    reader, found = wire.FrameReader(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        reader.feed(stream[:cut])
        found += list(reader.frames())
        stream = stream[cut:]
    assert found == payloads
    assert len(reader) == 0


@given(st.binary(max_size=400))
def test_the_frame_reader_holds_no_more_than_it_may(noise: bytes) -> None:
    reader = wire.FrameReader(max_frame=64)
    with contextlib.suppress(wire.FrameTooLong):
        for start in range(0, len(noise), 7):
            reader.feed(noise[start : start + 7])
            list(reader.frames())
            assert len(reader) <= 64 + 4 + 7


FIELDS = st.one_of(
    st.sampled_from(["", "0", "1", "-1", "2147483647", "1e999", "nan", "STK", "BAG", "\udcff"]),
    st.text(st.characters(blacklist_characters="\0"), max_size=12),
    st.integers().map(str),
)


@settings(max_examples=400)
@given(st.sampled_from([*NAMES, 0, 999]), st.lists(FIELDS, max_size=130), st.integers(157, 200))
def test_no_request_however_malformed_raises_anything_else(
    kind: int, fields: list[str], version: int
) -> None:
    with contextlib.suppress(UnknownMessage, UnreadableMessage):
        assert isinstance(decode([str(kind), *fields], version), r.Request)


@settings(max_examples=300)
@given(st.integers(0, 114), FIELDS, st.booleans(), st.integers(157, 200))
def test_an_order_with_one_field_spoilt_is_read_or_refused(
    at: int, value: str, cut: bool, version: int
) -> None:
    fields = order_fields(version)
    at = min(at, len(fields) - 1)
    fields[at] = value
    with contextlib.suppress(UnknownMessage, UnreadableMessage):
        decode(fields[:at] if cut and at else fields, version)


@given(st.binary(max_size=200))
def test_fields_are_split_or_refused(payload: bytes) -> None:
    try:
        fields = wire.fields_of(payload)
    except wire.FieldError:
        assert not payload.endswith(b"\0")
    else:
        assert wire.frame(wire.joined(*fields))[4:] == payload


def test_the_version_is_the_lower_of_the_two_and_never_outside_both() -> None:
    assert read_offer(b"v157..176") == Offer(157, 176)
    assert read_offer(b"v100..226 +PACEAPI") == Offer(100, 226, "+PACEAPI")
    assert negotiate(Offer(157, 176)) == 176
    assert negotiate(Offer(100, 226)) == 226
    assert negotiate(Offer(100, 999)) == 226
    assert negotiate(Offer(100, 226), 200) == 200
    assert negotiate(Offer(157, 178), own=163) == 163
    assert negotiate(Offer(100, 150)) is None
    assert negotiate(Offer(201, 226)) == 226
    assert negotiate(Offer(227, 300)) is None
    assert read_offer(b"GET / HTTP/1.1") is None


def test_an_error_carries_the_reject_field_only_where_the_version_has_it() -> None:
    assert system.error(165, 3, 201, "no").count(b"\0") - 3 == 5
    assert system.error(166, 3, 201, "no").count(b"\0") - 3 == 6
    assert b"caf\\xe9 \\\\" in system.error(176, 3, 201, "café \\")


@pytest.mark.parametrize(
    ("value", "written"),
    [("0", "0"), ("-0", "0"), ("10.500", "10.5"), ("1E+3", "1000"), ("0.0001", "0.0001")],
)
def test_decimals_are_written_without_exponent_and_padding(value: str, written: str) -> None:
    assert wire.decimal_text(Decimal(value)) == written


def test_the_word_none_that_tws_writes_asks_for_nothing_when_it_comes_back() -> None:
    # ib_insync changes an order it has adopted by sending back what openOrder told it.
    fields = order_fields()
    fields[91] = fields[65] = "None"
    fields[67:67] = ["0", "", "", "", "?", "0", "0", ""]
    order = decode(fields, 176)
    assert isinstance(order, r.PlaceOrder)
    assert order.extras.terms == {"openClose": "O"}
