"""What commands print: JSON that loses nothing, and plain tables."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from alluse_core.cli.output import print_json, print_table, to_json
from alluse_core.model import Instrument, Side


@attrs.frozen
class Row:
    price: Decimal
    at: datetime


def test_json_loses_no_digit_and_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    at = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
    print_json(
        {
            Side.BUY: Row(Decimal("0.10"), at),
            "absent": float("nan"),
            "endless": float("inf"),
            "day": date(2026, 1, 5),
            "span": timedelta(seconds=1.5),
            "names": frozenset({"b", "a"}),
            "path": Path("x"),
            "option": Instrument.option("AAPL", date(2026, 12, 18), "190", "C"),
        }
    )
    read = json.loads(capsys.readouterr().out)
    assert read["BUY"] == {"price": "0.10", "at": "2026-01-05T14:30:00+00:00"}
    assert (read["absent"], read["endless"]) == (None, None)
    assert (read["day"], read["span"], read["path"]) == ("2026-01-05", 1.5, "x")
    assert read["names"] == ["a", "b"]
    assert read["option"]["expiry"] == "2026-12-18"
    assert to_json(True) is True


def test_a_table_is_plain_and_a_foreign_text_cannot_move_the_cursor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(
        ("name", "value"),
        [("a", 1.23456789), ("b", None), ("c", float("nan")), ("\x1b[2Jevil\nrow", 5)],
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "value"]
    assert [line.split()[-1] for line in lines[1:]] == ["1.23457", "-", "-", "5"]
    assert "\x1b" not in "".join(lines)
    assert len(lines) == 5


def test_a_table_without_rows_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "value"), [])
    assert capsys.readouterr().out == "name  value\n"
