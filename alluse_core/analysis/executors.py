"""Where jobs run: in a worker process, or inline for tests and simulation."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Protocol, TypeVar

from alluse_core.analysis.job import Failure, Job, Outcome, read_outcome, write_job
from alluse_core.analysis.worker import run_job

T = TypeVar("T")


class AnalysisExecutor(Protocol):
    """The seam between the analysis cycle and where its work is done."""

    @property
    def restarts(self) -> int:
        """How often a worker ended by itself or was ended for being late."""

    async def call(self, function: Callable[[], T]) -> T:
        """Do something that may take a while, such as reading the store."""

    async def run(self, job: Job) -> Outcome:
        """Run a job. A worker that ends is a failure in the outcome, never an exception."""

    async def close(self) -> None:
        """End what was started. Safe to call twice."""


class InlineExecutor:
    """Runs everything in the caller, without a thread or process: deterministic."""

    restarts = 0

    async def call(self, function: Callable[[], T]) -> T:
        """Return what ``function`` returns."""
        return function()

    async def run(self, job: Job) -> Outcome:
        """Run the job now."""
        return run_job(job)

    async def close(self) -> None:
        """Nothing was started."""


class WorkerProcess:
    """Runs jobs one at a time in a process that is started on first use.

    It does not import the main program, as multiprocessing's spawn would, so an embedding script
    needs no guard. A job that takes longer than ``timeout`` seconds ends the process; the next
    job starts another.
    """

    def __init__(self, timeout: float = 300.0) -> None:
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self.restarts = 0

    async def call(self, function: Callable[[], T]) -> T:
        """Run ``function`` in a thread."""
        return await asyncio.to_thread(function)

    async def run(self, job: Job) -> Outcome:
        """Send the job and wait for its outcome; the event loop goes on."""
        process = self._process or self._start()
        exchange = asyncio.ensure_future(asyncio.to_thread(_exchange, process, job))
        try:
            return await asyncio.wait_for(asyncio.shield(exchange), self._timeout)
        except TimeoutError:
            return await self._ended(exchange, f"took longer than {self._timeout:g} s")
        except (OSError, EOFError, ValueError) as error:
            return await self._ended(exchange, str(error) or type(error).__name__)
        except asyncio.CancelledError:
            await self._ended(exchange, "cancelled")
            raise

    async def close(self) -> None:
        """End the process."""
        self._end()

    def _start(self) -> subprocess.Popen[bytes]:
        # One numerical thread: analysis has a budget of a tenth of a core, and threads that spin
        # for work would take it from the order path.
        single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment = {
            **os.environ,
            **single,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "alluse_core.analysis.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        return self._process

    async def _ended(self, exchange: asyncio.Future[Outcome], reason: str) -> Outcome:
        code = self._end()
        await asyncio.gather(exchange, return_exceptions=True)
        self.restarts += 1
        return Outcome(failures=(Failure("", f"the worker process ended ({code}): {reason}"),))

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        code = process.poll()
        if code is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                # A pipe to a dead process cannot be flushed; there is nobody left to read it.
                continue
        return code


def _exchange(process: subprocess.Popen[bytes], job: Job) -> Outcome:
    if process.stdin is None or process.stdout is None:
        raise OSError("the worker process has no pipes")
    write_job(process.stdin, job)
    return read_outcome(process.stdout)
