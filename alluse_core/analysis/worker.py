"""Runs jobs: in a process of its own as ``python -m alluse_core.analysis.worker``, or inline."""

from __future__ import annotations

import os
import signal
import sys
import time

from alluse_core.analysis.job import Failure, Job, Outcome, read_job, write_outcome
from alluse_core.analysis.loader import open_analyzer
from alluse_core.model import Finding


def run_job(job: Job) -> Outcome:
    """Run every analyzer of a job. One that raises is named and costs only its own findings."""
    findings: list[Finding] = []
    failures: list[Failure] = []
    seconds: dict[str, float] = {}
    for spec in job.specs:
        started = time.perf_counter()
        try:
            findings.extend(open_analyzer(spec).analyze(job.frame))
        except Exception as error:  # noqa: BLE001
            # Foreign code may raise anything; the report names it and the others run.
            failures.append(Failure(spec.name, f"{type(error).__name__}: {error}"))
        seconds[spec.name] = time.perf_counter() - started
    return Outcome(tuple(findings), tuple(failures), seconds)


def main() -> None:
    """Serve jobs from stdin until it ends."""
    # Ctrl-C reaches the whole process group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        # Orders and quotes share the processor; what may be late yields to them.
        os.nice(10)
    # An analyzer that prints must not write into the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with answers:
        while (job := read_job(sys.stdin.buffer)) is not None:
            write_outcome(answers, run_job(job))


if __name__ == "__main__":
    main()
