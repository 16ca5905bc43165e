"""The commands that a person uses in trouble: processes of their own, against a gateway process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from alluse_core.cli.main import main

HERE = Path(__file__).parent
MORE = """
heartbeat = 0.5
reconnect_min = 0.05
[orders]
stages = []
settle_seconds = 0.2
acknowledge_within = 1.0
approve_start = true
[orders.canary]
version = "2"
orders = 1
max_quantity = 20
"""


class Trader:
    """A trading process that sends what it is told to."""

    def __init__(self, config: Path, symbol: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "obedient_trader.py"), str(config), symbol],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.began = self._line()

    def order(self, key: str, side: str, price: str | None = None) -> dict[str, Any]:
        """Have it send an order, and return what became of it."""
        self.send(key, side, price)
        return self._line()

    def send(self, key: str, side: str, price: str | None = None) -> None:
        """Have it send an order."""
        assert self.process.stdin is not None
        wish = {"key": key, "side": side, "price": price}
        self.process.stdin.write(json.dumps(wish) + "\n")
        self.process.stdin.flush()

    def told(self) -> dict[str, Any]:
        """Return what became of an order that was sent."""
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        body: dict[str, Any] = json.loads(self.process.stdout.readline())
        return body

    def close(self) -> None:
        """End it in order, and by force where it does not end."""
        try:
            self.process.communicate(timeout=100)
        finally:
            self.process.kill()
            self.process.wait(10)


@contextmanager
def trader(config: Path, symbol: str) -> Iterator[Trader]:
    process = Trader(config, symbol)
    try:
        yield process
    finally:
        process.close()


def symbol_of(gateway: Any) -> str:
    listed = gateway.control(do="status")["instruments"]
    return str(next(each for each in listed if each.startswith("STK")).split(":")[1])


@pytest.mark.slow
def test_a_person_gets_a_process_out_of_trouble_by_the_command_line(
    gateway: Any,
    settings_file: Callable[..., Path],
    alluse_command: Callable[..., subprocess.CompletedProcess[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A difference of the start, caps of a new version, an order that no evidence settles.

    What is carried out is asked for by processes; what is refused by the same code in this one.
    """
    config, symbol = settings_file(gateway.port, broker=MORE), symbol_of(gateway)

    def ask(*words: str) -> dict[str, Any]:
        done = alluse_command(*words, "--config", str(config), "--json")
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def here(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--config", str(config)])
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    def refused(code: int, words: tuple[str, ...], says: tuple[str, ...]) -> None:
        found, _, errors = here(*words)
        assert (found, errors.lower().count("error: ")) == (code, 1), errors
        assert [each for each in says if each not in errors] == [], errors

    refused(1, ("orders", "status"), ("there is no state folder", "--state"))
    gateway.control(do="manual_order", symbol=symbol, side="BUY", quantity=5, limit_price="1")
    with trader(config, symbol) as trading:
        assert trading.began == {"trading": "ACTIVE"}
        (difference,) = json.loads(here("orders", "status", "--json")[1])["differences"]
        assert "not this agent's" in difference
        assert "alluse orders approve" in trading.order("early", "BUY", "1")["denied"]
        refused(2, ("orders", "approve", "--by", " "), ("--by is empty", "way out"))
        assert ask("orders", "approve", "--by", "Ada")["approved"] == [difference]
        plain = here("orders", "approve", "--by", "Ada")[1]
        assert plain.splitlines()[:2] == ["nothing waited for approval", "ACTIVE"]

        refused(1, ("orders", "lift", "--by", "Ada"), ("has sent 0 of 1 orders", "way out"))
        assert trading.order("rests", "BUY", "1") == {"key": "rests", "state": "ACCEPTED"}
        assert ask("orders", "lift", "--by", "Ada")["state"] == "ACTIVE"
        refused(1, ("orders", "lift", "--by", "Ada"), ("has no caps to lift",))

        gateway.control(do="half_open")
        trading.send("lost", "BUY", "1")
        assert any("lost is SUBMITTED" in here("orders", "status")[1] for _ in range(100))
        gateway.control(do="drop", abort=True)
        assert trading.told() == {"key": "lost", "state": "UNKNOWN"}
        resolve = ("orders", "resolve", "lost", "--as", "canceled", "--by", "Ada")
        settled = ask(*resolve)
        assert "lost" not in {each["key"] for each in settled["working"]}
        refused(1, resolve, ("is CANCELED, not UNKNOWN",))
        refused(1, ("orders", "resolve", "nobody", *resolve[3:]), ("nobody", "alluse orders list"))
        refused(2, (*resolve[:4], "gone", *resolve[5:]), ("gone",))

        halted = ask("halt", "--reason", "smoke")
        assert (halted["state"], halted["reason"]) == ("HALTED", "smoke")
        assert "denied" in trading.order("late", "BUY", "1")
        assert ask("resume", "--by", "Ada")["state"] == "ACTIVE"
        assert trading.order("again", "BUY", "1") == {"key": "again", "state": "ACCEPTED"}
    refused(1, ("orders", "approve", "--by", "Ada"), ("needs the running process", "start it"))
    told = here("halt", "--reason", "night")
    assert told == (0, "no process runs; the next one starts so: HALTED: night\n", "")
    with trader(config, symbol) as trading:
        assert trading.began == {"trading": "HALTED"}
