"""The control interface for other processes: JSON lines over a loopback socket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from alluse_core.errors import AllUseError, UsageError
from alluse_gateway.control import COMMANDS, Control
from alluse_gateway.step_arguments import problem_with

LONGEST_LINE = 64 * 1024
"""Bytes of one command."""


async def serve(
    control: Control, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer one connection: a JSON object a line in, one out; errors as ``{"error": text}``."""
    try:
        while line := await reader.readline():
            writer.write(json.dumps(await _answer(control, line)).encode() + b"\n")
            await writer.drain()
    except (ConnectionError, ValueError):
        # The peer went away, or sent a line beyond the limit: nobody is left to be told.
        pass
    finally:
        writer.close()


async def _answer(control: Control, line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise UsageError("a command is a JSON object")
        do = request.get("do")
        arguments = {name: value for name, value in request.items() if name != "do"}
        if do in COMMANDS and (problem := problem_with(do, [arguments])):
            raise UsageError(f"{do}: {problem}")
        return await control.command(request)
    except AllUseError as error:
        return {"error": str(error), "hint": error.hint}
    except (ValueError, RecursionError) as error:
        return {"error": f"not JSON: {error}", "hint": 'for example {"do": "status"}'}
