"""Run the long gates, and say in one table what was run.

python -m gates [--minutes N] [--parts NAME,...] [--skip N] [--list] [--json FILE]
"""

from __future__ import annotations

import argparse
import difflib
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gates.part import Part
from gates.process import ROOT
from gates.report import document, listing, progress, table
from gates.run import Outcome, Run, in_folder
from gates.table import PARTS

_LOGS = ROOT / "build" / "gates"
_SAY_EVERY = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named parts, all by default; return 1 where something broke."""
    parser = argparse.ArgumentParser(prog="python -m gates")
    parser.add_argument("--minutes", type=float, help="for all parts; without it the full counts")
    parser.add_argument("--parts", metavar="NAME,...", help="only these")
    parser.add_argument("--skip", type=int, default=0, metavar="N", help="leave the first N seeds")
    parser.add_argument("--list", action="store_true", help="what there is, and how long it takes")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "gates.json", metavar="FILE")
    options = parser.parse_args(arguments)
    if options.minutes is not None and not options.minutes > 0:
        parser.error("--minutes is more than 0")
    if options.skip < 0:
        parser.error("--skip is not negative")
    parts = _chosen(parser, options.parts)
    if options.list:
        print(listing(parts))
        return 0
    seconds = math.inf if options.minutes is None else options.minutes * 60
    _LOGS.mkdir(parents=True, exist_ok=True)
    # Also where SIGINT came in ignored, as in a shell's background job: the parts' processes
    # inherit that, and would not tidy up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    run = Run(parts, seconds, in_folder(_LOGS), _say(), options.skip)
    status = 0
    try:
        for outcome in run.run():
            print(f"{progress(outcome, 0.0).partition(';')[0]}: {outcome.why}", flush=True)
    except KeyboardInterrupt:
        status = 130
    print(f"\n{table(run.outcomes)}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    told = json.dumps(
        document(run.outcomes, options.minutes, options.skip), indent=2, allow_nan=False
    )
    options.json.write_text(told + "\n", "utf-8")
    print(f"\nwritten to {options.json}; what each part printed: {_LOGS}")
    return status or int(any(each.broken for each in run.outcomes))


def _chosen(parser: argparse.ArgumentParser, names: str | None) -> list[Part]:
    """Return the parts of these names, in the order of the table."""
    if names is None:
        return list(PARTS)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = [part.name for part in PARTS]
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f": {', '.join(known)}"
            parser.error(f"'{name}' is not among the parts{hint}")
    return [part for part in PARTS if part.name in wanted]


def _say() -> Callable[[Outcome, float], None]:
    """Return what prints a line of progress now and then."""
    said = time.monotonic() - _SAY_EVERY

    def say(outcome: Outcome, to_go: float) -> None:
        nonlocal said
        if time.monotonic() - said >= _SAY_EVERY:
            said = time.monotonic()
            print(progress(outcome, to_go), flush=True)

    return say


if __name__ == "__main__":
    sys.exit(main())
