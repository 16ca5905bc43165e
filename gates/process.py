"""One process of a part: started in a group of its own, watched, ended with all that it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import attrs

from gates.part import Part, Turn
from gates.told import Tail, Told

ROOT = Path(__file__).resolve().parents[1]
_LOOK_EVERY = 0.2
_TIDY_UP_WITHIN = 10.0
_LAST_LINES = 3


@attrs.frozen
class Ended:
    """How a round ended. ``why`` is empty where its process ended by itself, with ``status``."""

    told: Told
    seconds: float
    status: int
    why: str
    last_lines: str


OUT_OF_TIME = "its time was over"


def environment_of(
    part: Part, turn: Turn, left: float, told: Path, folder: Path
) -> Mapping[str, str]:
    """Return the environment of a round; this process's own ALLUSE_ variables stay out of it."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("ALLUSE_")}
    bound = {} if left == float("inf") else {"ALLUSE_SECONDS": f"{max(left, 0.0):.1f}"}
    # What counts by its output may run tests that would tell of themselves.
    tells = {} if part.counts else {"ALLUSE_RAN": str(told)}
    named = {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    return {**clean, **turn.environment, **bound, **tells, **named}


def play(
    part: Part,
    turn: Turn,
    left: float,
    folder: Path,
    log: Path,
    heard: Callable[[Told, float], None],
) -> Ended:
    """Run one round. It is ended when it has been silent too long, or is well over its time:
    by a quarter of it, or by a tenth of the part's patience.

    ``heard`` is called again and again with what was told and the seconds since it began.
    """
    path = folder / "told.jsonl"
    path.write_text("", "utf-8")
    told, tail, output = Told(), Tail(path), Tail(log)
    output.lines()
    began = spoken = time.monotonic()
    over = began + left + max(part.patience / 10, left / 4)
    why = ""
    with log.open("ab") as file:
        process = subprocess.Popen(
            turn.command,
            cwd=ROOT,
            env=dict(environment_of(part, turn, left, path, folder)),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    last: list[str] = []
    try:
        while _lives(process) and not why:
            time.sleep(_LOOK_EVERY)
            now, size = time.monotonic(), tail.size + output.size
            last = _take(part, told, tail, output, last)
            if tail.size + output.size != size:
                spoken = now
            if now - spoken > part.patience:
                why = f"it was silent for {part.patience:g} s"
            elif now > over:
                why = OUT_OF_TIME
            heard(told, now - began)
    finally:
        status = end(process)
    last = _take(part, told, tail, output, last)
    return Ended(told, time.monotonic() - began, status, why, "\n".join(last))


def _take(part: Part, told: Told, tail: Tail, output: Tail, last: list[str]) -> list[str]:
    """Read what is new; return the last lines of the output."""
    for line in tail.lines():
        told.add(json.loads(line))
    lines = output.lines()
    told.ran += sum(line.startswith(part.counts) for line in lines if part.counts)
    return [*last, *(line for line in lines if line.strip())][-_LAST_LINES:]


def _lives(process: subprocess.Popen[bytes]) -> bool:
    """Whether it runs. Not reaped: until then its number, and its group's, is nobody else's."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def end(process: subprocess.Popen[bytes]) -> int:
    """End a process and its group, which it leads; return its status.

    It may tidy up first. Only this group is signalled, and only before the process is reaped.
    """
    if _lives(process):
        _signal(process, signal.SIGINT)
        until = time.monotonic() + _TIDY_UP_WITHIN
        while _lives(process) and time.monotonic() < until:
            time.sleep(_LOOK_EVERY)
    _signal(process, signal.SIGKILL)
    return process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # A group of which only a zombie is left cannot be signalled everywhere.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
