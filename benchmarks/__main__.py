"""Run the benchmarks, print each ratio beside its goal, and write ``build/bench.json``.

python -m benchmarks [--quick] [--out FILE] [MODULE ...]
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs

from benchmarks.measure import Result

MODULES = ("quotes", "lines", "orders", "gateway", "ticks", "recovery", "start")
"""Each has ``run(**counts)``, an iterator of results, and may have ``QUICK``, its tiny counts."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named modules, all by default; return 1 where one could not be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(MODULES)}")
    parser.add_argument("--quick", action="store_true", help="tiny counts: does it run at all?")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    options = parser.parse_args(arguments)
    unknown = set(options.modules) - set(MODULES)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))} is not among {', '.join(MODULES)}")

    results: list[Result] = []
    failed: dict[str, str] = {}
    _print_head()
    for name in options.modules or MODULES:
        try:
            module = importlib.import_module(f"benchmarks.{name}")
            for result in module.run(**(module.QUICK if options.quick else {})):
                results.append(result)
                _print(result)
        except Exception as error:  # noqa: BLE001  the others still run, and the exit code says it
            failed[name] = f"{type(error).__name__}: {error}"
            print(f"{name}: not measured: {failed[name]}", file=sys.stderr)
    _write(options.out, results, failed, quick=options.quick)
    print(f"\nwritten to {options.out}")
    return 1 if failed else 0


def _print_head() -> None:
    print(f"{'':12} {'ratio':>7} {'spread':>13} {'goal':>7} {'met':>4}  what, and both sides")


def _print(result: Result) -> None:
    sign = ">=" if result.at_least else "<="
    low, high = result.spread
    print(
        f"{result.id:12} {result.value:7.2f} {low:6.2f}-{high:<6.2f} {sign}{result.goal:5.2f}"
        f" {'yes' if result.met else 'NO':>4}  {result.what} ({result.rounds} rounds)"
    )
    print(f"{'':48}ours: {result.ours}")
    print(f"{'':48}peer: {result.peer}", flush=True)


def _write(out: Path, results: Sequence[Result], failed: dict[str, str], *, quick: bool) -> None:
    document = {
        "time": datetime.now(UTC).isoformat(),
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "quick": quick,
        "results": [_row(result) for result in results],
        "not_measured": failed,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", "utf-8")


def _row(result: Result) -> dict[str, object]:
    row = attrs.asdict(result) | {"met": result.met}
    row["value"] = result.value if math.isfinite(result.value) else None
    return row


if __name__ == "__main__":
    sys.exit(main())
