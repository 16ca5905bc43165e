"""``alluse gateway`` as a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys

import pytest
from alluse_gateway.cli import command
from alluse_gateway.plugin import alluse_commands
from alluse_gateway.server import PortInUse
from click.testing import CliRunner
from gateway_lab import library

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


def test_the_command_is_registered() -> None:
    (offered,) = alluse_commands()
    assert (offered.name, offered.target) == ("gateway", "alluse_gateway.cli:command")


@pytest.mark.parametrize(
    "arguments", [["--speed", "0"], ["--port", "99999"], ["--rate-limit", "-1"]]
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
