"""Every answer in both forms, read by IBKR's own decoder: a client must be told the same."""

from __future__ import annotations

import logging
from enum import Enum
from typing import Any

import pytest
from alluse_gateway import wire
from alluse_gateway.protobuf.codec import LayoutMismatch, ProtobufForm
from alluse_gateway.protobuf.replies import ROWS

NONE = wire.UNSET_DOUBLE
TRADED = "265598|AAPL|STK|20261218|190.5|C|100|SMART|USD|AAPL  26|NMS"
LEGS = "1|55|2|BUY|SMART|0|1|loc|-1|1|1.25|1|tag|value"
SCALE = "5|6|0.5|0.1|60|0.2|1|7|8|1"
MARGINS = "|".join(str(number + 0.5) for number in range(1, 10))
TERMS = "BUY|100|LMT|190.25|0.5|GTC|oca|DU1|O|0|ref-1"
RANGES = "1.5|2.5|0.5|1.25|2.25|9"
CONDITIONS = (
    "6|1|a|1|190.5|265598|SMART|2|3|o|0|20260101 10:00:00 UTC|4|a|1|25|5|o|STK|SMART|AAPL"
    "|6|a|0|1000|265598|SMART|7|o|1|2.5|265598|SMART|1|0"
)
PEGGED = "100|50|0.02|0.01|0.005"

OPEN_ORDER = "|".join(
    (
        f"7|{TRADED}|{TERMS}|3|9000000001|1|0|0.5|20260101|x|grp|mth|pct|model|20261231|A|0.5|firm",
        f"1|place|-1|0|{RANGES}|1|1|1|5|3|0|0||4|2|0.3|1|LMT|1.5",
        "77|sf|ca|IB|O|1|2|dn|1|2|189.5|1.5||",
        f"combo|{LEGS}|{SCALE}|D|hp|1|acct|IB|1|1|88|0.5|1.5|Adaptive|1|adaptivePriority|Normal",
        f"1|1|Submitted|{MARGINS}|1.5|1|2|USD|USD|{MARGINS}|10|why",
        "1|DU1|1|2|3|4|5|1|beware|1|0",
        f"{CONDITIONS}|STP|1.5|189.5|0.5|2.5|3.5|4.5|1|tier|val|disp|100.5|1|1|1|1|60|1|1",
        f"{PEGGED}|cust|1|accrued|1|op|1|sub|1",
    )
)
PEG_BENCH = OPEN_ORDER.replace("|LMT|190.25|", "|PEG BENCH|190.25|", 1).replace(
    "|beware|1|0|", "|beware|1|0|99|1|0.5|0.25|ISLAND|", 1
)
COMPLETED = "|".join(
    (
        f"{TRADED}|{TERMS}|9000000001|1|0|0.5|20260101|grp|mth|pct|model|20261231|A|0.5|firm",
        f"1|place|-1|{RANGES}|1|1|5|3|2|0.3|1|LMT|1.5|77|1|2|dn|1|2|189.5|1.5",
        f"combo|{LEGS}|{SCALE}|D|hp|acct|IB|1|1|88|0.5|1.5|Adaptive|1|adaptivePriority|Normal|1",
        f"Filled|1|0|{CONDITIONS}|189.5|0.5|100.5|1|0|20260102|100|3|1|holder|1|1|9000000002",
        f"20260101 10:00:00 UTC|Filled Size: 100|{PEGGED}|cust|1|sub",
    )
)
DETAILS = "|".join(
    (
        "7|AAPL|STK|20261218|20261218|190.5|C|SMART|USD|AAPL  26|NMS|NMS|265598|0.01|100",
        "LMT,MKT,|SMART,NASDAQ|1|88|APPLE INC \\\\ \\xe9\\u20ac|NASDAQ|202612|Tech|Cat|Sub",
        "US/Eastern|20260101:0930-1600|20260101:0930-1600|rule|2|1|ISIN|US0378331005|1|AAPL|STK",
        "26,26|20261218|COMMON|1|0.5|100|1|x|too new",
    )
)
FUND = DETAILS.replace("|STK|20261218", "|FUND|20261218", 1).replace(
    "|1|x|too new",
    "|name|family|type|1|2|3|4|1|0|1|5|6|7|CA|PR|N|000|1|x|too new",
)
BOND = (
    "7|BOND|BOND|CUSIP|5.25|20261218-10:00:00|20200101|AA|corp|fixed|1|0|1|desc|SMART|USD|BOND"
    "|NMS|99|0.01|LMT|SMART|20260101|call|1|notes|LONG NAME|US/Eastern|open|liquid|rule|1|1|ISIN"
    "|US1|1|26|1|1|1"
)

SAMPLES: list[tuple[int, str]] = [
    (1, "6|7|1|100.25|300.5|7"),
    (1, "6|7|66|-1|0|0"),
    (2, "6|7|0|300"),
    (3, "7|Submitted|40|60.5|190.25|9000000001|3|190.5|1|child|0.5"),
    (4, "-1|2104|Market data farm connection is OK:usfarm \\u20ac \\\\|{}|1700000000123"),
    (5, OPEN_ORDER),
    (5, PEG_BENCH),
    (6, "2|NetLiquidation|1000.5|USD|DU1"),
    (7, f"8|{TRADED.replace('SMART', 'NASDAQ')}|100|190.5|19050|100.25|9025|12.5|DU1"),
    (8, "1|10:15"),
    (9, "1|42"),
    (10, DETAILS),
    (10, FUND),
    (
        11,
        f"-1|7|{TRADED}|0001.01|20260101 10:00:00 UTC|DU1|NASDAQ|BOT|40.5|190.25|9000000001|1|1"
        "|40.5|190.25|ref|rule|1.5|model|2|1|sub",
    ),
    (12, "1|7|2|1|0|100.5|300"),
    (13, "1|7|2|NSDQ|1|0|100.5|300|1"),
    (14, "1|5|1|bulletin|NYSE"),
    (15, "1|DU1,DU2,"),
    (16, "1|1|<xml/>"),
    (17, "7|2|20260101 10:00:00|1.5|2.5|1|2|300.5|1.75|9|20260101 10:01:00|1|2|1|2|0|1.5|1"),
    (18, BOND),
    (19, "1|<xml/>"),
    (20, "3|7|1|0|265598|AAPL|STK|20261218|190.5|C|SMART|USD|AAPL|NMS|NMS|d|b|p|legs"),
    (21, "7|13|1|0.25|0.5|1.5|0.1|0.02|0.3|-0.05|190.5"),
    (21, "7|10|0|-1|-2|-1|-1|-2|-2|-2|-1"),
    (45, "6|7|49|1.5"),
    (46, "6|7|45|1700000000"),
    (49, "1|1700000000"),
    (50, "3|7|1700000000|1.5|2.5|1|2|300.5|1.75|9"),
    (52, "1|7"),
    (53, "1"),
    (54, "1|DU1"),
    (55, "1|7"),
    (57, "1|7"),
    (58, "1|7|3"),
    (59, f"1|0001.01|1.25|USD|{NONE}|0.5|20260101"),
    (61, f"3|DU1|{TRADED}|100.5|190.25"),
    (62, "1"),
    (63, "1|7|DU1|NetLiquidation|1000.5|USD"),
    (64, "1|7"),
    (65, "1|data"),
    (66, "1|true|text"),
    (67, "1|7|1;2"),
    (68, "1|7|265598@SMART"),
    (71, f"1|7|DU1|{TRADED}|100.5|190.25|model"),
    (72, "1|7"),
    (73, "1|7|DU1|model|NetLiquidation|1000.5|USD"),
    (74, "1|7"),
    (75, "7|SMART|265598|AAPL|100|2|20261218|20270115|2|190|192.5"),
    (76, "7"),
    (77, "7|1|tier|val|display"),
    (78, "2|DU1|F1|DU2|F2"),
    (79, "7|1|265598|AAPL|STK|NASDAQ|USD|2|OPT|WAR|APPLE INC|issuer"),
    (80, "1|NYSE|STK|NYSE|Deep|2"),
    (81, "7|0.01|a6|3"),
    (82, "7|1|0|NYSE|N"),
    (83, "7|0|text"),
    (84, "7|1700000000|BZ|BZ$1|headline|extra"),
    (85, "1|BZ|Benzinga"),
    (86, "7|2026-01-01 10:00:00|BZ|BZ$1|headline"),
    (87, "7|1"),
    (88, "7|20200101-00:00:00"),
    (89, "7|2|100.5|300|101|200.5"),
    (90, "7|9|20260101 10:00:00|1.5|2|2.5|1|1.75|300.5"),
    (91, "7|88|NYSE"),
    (92, "7|88|NYSE"),
    (93, "26|2|0|0.01|1|0.05"),
    (94, "7|1.5|2.5|3.5"),
    (95, "7|100|1.5|2.5|3.5|4.5"),
    (96, "7|1|1700000000||100.5|0|1"),
    (97, "7|2|1700000000|1|100.5|100.6|300|200|1700000001|2|100.5|100.6|300|200|0"),
    (98, "7|1|1700000000|3|100.5|300|NYSE|cond|1"),
    (99, "7|1|1700000000|100.5|300|3|NYSE|cond"),
    (99, "7|2|1700000000|100.5|300|2|NYSE|cond"),
    (99, "7|3|1700000000|100.5|100.6|300|200|2"),
    (99, "7|4|1700000000|100.55"),
    (100, "9000000001|1|7"),
    (101, COMPLETED),
    (102, ""),
    (103, "7|text"),
    (104, "7|{}"),
    (105, "7|{}"),
    (106, "7|20260101|20260102|US/Eastern|1|20260101-09:30|20260101-16:00|20260101"),
    (107, "7|brand"),
    (108, "7|20260101 10:00:00|20260102 10:00:00"),
    (109, "1700000000123"),
]
"""Each answer's text at version 200, ``|`` for the end of a field."""


def frame(kind: int, text: str) -> bytes:
    """Return a text frame of version 200."""
    fields = text.split("|") if text else []
    return wire.frame(wire.joined(str(kind), *fields))


def value_of(value: Any) -> Any:
    """Say all that an argument of a callback holds."""
    if isinstance(value, (list, tuple)):
        return [value_of(each) for each in value]
    if isinstance(value, dict):
        return {key: value_of(each) for key, each in value.items()}
    if isinstance(value, Enum) or not hasattr(value, "__dict__"):
        return value
    return {name: value_of(each) for name, each in vars(value).items()}


def told(version: int, payload: bytes) -> list[tuple[str, Any]]:
    """Return the callbacks that IBKR's decoder makes of one message, whose id is four bytes."""
    decoder_module = pytest.importorskip("ibapi.decoder", reason="ibapi is not installed")
    from ibapi.comm import read_fields
    from ibapi.wrapper import EWrapper

    calls: list[tuple[str, Any]] = []

    def recorder(name: str) -> Any:
        return lambda *arguments: calls.append((name, value_of(arguments)))

    wrapper = EWrapper()
    for name in dir(EWrapper):
        if not name.startswith("_") and not name.endswith("ProtoBuf"):
            setattr(wrapper, name, recorder(name))
    decoder = decoder_module.Decoder(wrapper, version)
    kind = int.from_bytes(payload[:4], "big")
    if kind > 200:
        decoder.processProtoBuf(payload[4:], kind - 200)
    else:
        decoder.interpret(read_fields(payload[4:]), kind)
    return calls


@pytest.fixture(autouse=True)
def quiet_client() -> Any:
    logging.getLogger("ibapi").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("ibapi").setLevel(logging.NOTSET)


def as_protobuf_says(kind: int, calls: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Change what IBKR's client makes of text, where it makes something else of protobuf."""
    ((name, arguments),) = calls if kind in (18, 59, 66, 82) else (("", []),)
    match kind:
        case 18:  # protobuf: the date and time stand in the contract too, not as maturity only
            arguments[1]["contract"]["lastTradeDateOrContractMonth"] = "20261218-10:00:00"
        case 59:  # protobuf: a profit that is absent is 0
            arguments[0]["realizedPNL"] = 0.0
        case 66:  # text: the flag is handed on as it was written
            arguments[0] = True
        case 82:  # protobuf: a mapping by bit
            rows = arguments[1]
            arguments[1] = {
                row["bitNumber"]: [row["exchange"], row["exchangeLetter"]] for row in rows
            }
        case _:
            return calls
    return [(name, arguments)]


def test_every_answer_has_a_sample() -> None:
    assert {kind for kind, _ in SAMPLES} == set(ROWS)


@pytest.mark.parametrize(("kind", "text"), SAMPLES, ids=[str(kind) for kind, _ in SAMPLES])
def test_ibkrs_decoder_reads_the_same_from_both_forms(kind: int, text: str) -> None:
    as_text = told(200, ProtobufForm(201).answer(frame(kind, text))[4:])
    in_protobuf = ProtobufForm(226).answer(frame(kind, text))[4:]
    assert int.from_bytes(in_protobuf[:4], "big") == 200 + kind
    assert as_text
    assert told(226, in_protobuf) == as_protobuf_says(kind, as_text)


@pytest.mark.parametrize(("kind", "text"), SAMPLES, ids=[str(kind) for kind, _ in SAMPLES])
def test_each_answer_turns_protobuf_with_its_family(kind: int, text: str) -> None:
    since = ROWS[kind][0]
    for version in range(201, 227):
        payload = ProtobufForm(version).answer(frame(kind, text))[4:]
        assert int.from_bytes(payload[:4], "big") == kind + 200 * (version >= since)


def test_free_text_arrives_as_it_was_meant() -> None:
    ((_, arguments),) = told(226, ProtobufForm(226).answer(frame(4, SAMPLE_ERROR))[4:])
    assert arguments[3] == "farm OK:usfarm \u20ac \\"
    ((_, arguments),) = told(226, ProtobufForm(226).answer(frame(79, SAMPLE_SYMBOL))[4:])
    assert arguments[1][0]["contract"]["description"] == "APPLE INC \xe9"


SAMPLE_ERROR = "-1|2104|farm OK:usfarm \\u20ac \\\\|{}|1700000000123"
SAMPLE_SYMBOL = "7|1|265598|AAPL|STK|NASDAQ|USD|0|APPLE INC \\xe9|issuer"


@pytest.mark.parametrize("text", ["6|7|1", "6|7|1|100|300|1|9", "6|7|1|soon|300|1"])
def test_text_that_is_not_as_its_row_says_is_an_error_and_no_guess(text: str) -> None:
    with pytest.raises(LayoutMismatch, match="answer 1"):
        ProtobufForm(226).answer(frame(1, text))


def test_a_message_that_protobuf_lacks_stays_text() -> None:
    frame_ = ProtobufForm(226).answer(frame(56, "7|1|0.5|100"))
    assert frame_[4:] == (56).to_bytes(4, "big") + b"7\x001\x000.5\x00100\x00"
