"""The simulated IB Gateway, as a process of its own that ends with this one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from alluse_core.errors import BrokerUnavailable


class GatewayProcess:
    """A running gateway: its ports, and its control interface (one JSON object a line)."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, control_port: int) -> None:
        self.port = port
        self.control_port = control_port
        self._process = process

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Send one control command and return its answer. Raises BrokerUnavailable on "no"."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.control_port)
        try:
            writer.write(json.dumps(command).encode() + b"\n")
            await writer.drain()
            line = await asyncio.wait_for(reader.readline(), 10.0)
        finally:
            writer.close()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BrokerUnavailable(f"the gateway refused {dict(command)}: {answer}")
        return answer


@asynccontextmanager
async def running_gateway(options: Sequence[str]) -> AsyncIterator[GatewayProcess]:
    """Start ``alluse gateway`` with these options on free loopback ports, and end it afterwards.

    It is in a session of its own, so that Ctrl-C reaches the demo first, and it watches its
    standard input, so that it ends even where this process is killed.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "alluse_core", "gateway"),
        *("--port", "0", "--control-port", "0", "--json", "--until-stdin-closes"),
        *options,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30.0)
        if not line:
            raise BrokerUnavailable(
                f"the simulated gateway ended with code {await process.wait()} before it listened",
                hint="its own message is above",
            )
        started = json.loads(line)
        yield GatewayProcess(process, started["port"], started["control_port"])
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 5.0)
        except TimeoutError:
            process.kill()
            await process.wait()
