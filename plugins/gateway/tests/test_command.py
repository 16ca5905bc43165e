"""``alluse gateway`` as a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from alluse_gateway.cli import command
from alluse_gateway.plugin import alluse_commands
from alluse_gateway.ports import PortInUse
from alluse_gateway.progress import Progress
from alluse_gateway.random_faults import random_scenario
from alluse_gateway.scenario import find, shipped
from click.testing import CliRunner
from gateway_lab import library, until

from alluse_core.errors import RecordingError, UsageError

RUN = "from alluse_gateway.cli import command; command()"


def test_the_command_serves_a_client_and_ends_cleanly_when_interrupted() -> None:
    async def story() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            RUN,
            "--port",
            "0",
            "--control-port",
            "0",
            "--json",
            "--seed",
            "3",
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        ports = json.loads(await process.stdout.readline())
        ib = library("ib_insync").IB()
        await ib.connectAsync("127.0.0.1", ports["port"], clientId=1)
        assert ib.managedAccounts() == ["DU1000001"]
        ib.disconnect()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0

    asyncio.run(asyncio.wait_for(story(), 30))


def test_orders_outlive_a_killed_process_on_its_state_folder(tmp_path: Path) -> None:
    arguments = ("--port", "0", "--json", "--state", str(tmp_path))
    arguments += ("--account", "DU1000001", "--account", "DU1000002")

    async def connected() -> tuple[asyncio.subprocess.Process, Any]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RUN, *arguments, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        port = json.loads(await process.stdout.readline())["port"]
        ib = library("ib_insync").IB()
        await ib.connectAsync("127.0.0.1", port, clientId=1)
        return process, ib

    async def story() -> None:
        lib = library("ib_insync")
        process, ib = await connected()
        assert ib.managedAccounts() == ["DU1000001", "DU1000002"]
        order = lib.LimitOrder("BUY", 1, 1.0, tif="GTC", account="DU1000002", orderRef="kept")
        trade = ib.placeOrder(lib.Stock("SPY", "SMART", "USD"), order)
        await until(
            lambda: trade.orderStatus.permId and trade.orderStatus.status != "PendingSubmit"
        )
        process.kill()
        await process.wait()
        ib.disconnect()
        process, ib = await connected()
        (shown,) = ib.openTrades()
        assert (shown.order.orderRef, shown.order.permId) == ("kept", trade.order.permId)
        ib.disconnect()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0

    asyncio.run(asyncio.wait_for(story(), 30))


def test_the_command_is_registered() -> None:
    (offered,) = alluse_commands()
    assert (offered.name, offered.target) == ("gateway", "alluse_gateway.cli:command")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--speed", "0"],
        ["--port", "99999"],
        ["--rate-limit", "-1"],
        ["--chain", "NONE"],
        ["--months", "0"],
        ["--symbols", "3"],
        ["--speed", "inf"],
        ["--sampling", "nan"],
        ["--lines", "-1"],
        ["--account", ""],
        ["--account", "DU1", "--account", "DU1"],
        ["--time-scale", "inf"],
        ["--faults", "1", "--faults-rate", "inf"],
    ],
)
def test_arguments_that_cannot_be_meant_are_usage_errors(arguments: list[str]) -> None:
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, UsageError)


def test_a_busy_port_ends_the_command_with_its_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = CliRunner().invoke(command, ["--port", str(taken.getsockname()[1])])
    assert isinstance(result.exception, PortInUse)
    assert result.exception.exit_code == 4


def test_a_recording_that_is_not_there_is_one_clear_error() -> None:
    result = CliRunner().invoke(command, ["--port", "0", "--replay", "nowhere.csv.gz"])
    assert isinstance(result.exception, RecordingError)


def test_the_scenarios_are_listed_with_one_line_each() -> None:
    result = CliRunner().invoke(command, ["--scenarios"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [each.split()[0] for each in lines] == [each.name for each in shipped()]
    assert all(len(each.split()) > 3 for each in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--scenario", "nightly-restrat"],
        ["--scenario", "desync", "--faults", "1"],
        ["--faults", "1", "--faults-rate", "0"],
        ["--time-scale", "0"],
    ],
)
def test_a_scenario_that_cannot_be_played_is_a_usage_error(arguments: list[str]) -> None:
    result = CliRunner().invoke(command, ["--port", "0", *arguments])
    assert isinstance(result.exception, UsageError)


def serve(tmp_path: Path, *arguments: str) -> tuple[str, str]:
    """Serve for one connection of one client; return what was written to both streams."""

    async def story() -> tuple[str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            RUN,
            "--port",
            "0",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        port = int((await process.stdout.readline()).rsplit(b":", 1)[1])
        lib = library("ib_insync")
        ib = lib.IB()
        await ib.connectAsync("127.0.0.1", port, clientId=7)
        (contract,) = await ib.qualifyContractsAsync(lib.Stock("SPY", "SMART", "USD"))
        ib.placeOrder(contract, lib.LimitOrder("BUY", 1, 1.0, orderRef="mine"))
        await ib.reqCurrentTimeAsync()
        ib.disconnect()
        await asyncio.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, told = await process.communicate()
        assert process.returncode == 0
        return out.decode(), told.decode()

    return asyncio.run(asyncio.wait_for(story(), 30))


def test_clients_orders_and_faults_are_told_as_they_come_unless_quiet(tmp_path: Path) -> None:
    _, told = serve(tmp_path, "--faults", "3", "--faults-rate", "0.01", "--time-scale", "100")
    for words in ("client 7 connected", "(mine): BUY 1 SPY LMT 1", "scenario faults-3 begins"):
        assert words in told
    script = told[told.index("about") : told.index("client 7") - len("00:00:00 ")]
    path = tmp_path / "mine.toml"
    path.write_text(script, "utf-8")
    assert find(path).steps == random_scenario(3, 0.01).steps
    _, told = serve(tmp_path, "-q", "--scenario", str(path), "--time-scale", "100")
    assert told == ""


def test_more_lines_in_a_second_than_can_be_read_are_counted() -> None:
    lines: list[str] = []
    progress = Progress(lines.append)
    for number in range(30):
        progress.take({"at": 5.1, "event": "start", "client_id": number})
    progress.take({"at": 6.1, "event": "muted"})
    progress.take({"at": 6.2, "event": "start", "client_id": 99})
    assert len(lines) == 22
    assert lines[-2:] == [
        "         ... and 10 more in that second",
        "00:00:06 client 99 connected",
    ]
