"""Plays simulated sessions over ascending seeds until its time is over.

python -m gates.sessions FIRST COUNT
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing

from alluse_sim.torture import Tally, torture

from gates.told import tell

_LITTLE = 20
"""Orders at the broker in a session, on average: fewer show little."""


def main(arguments: Sequence[str]) -> int:
    """Play them; return 1 where one is broken."""
    first, count = int(arguments[0]), int(arguments[1])
    path = os.environ.get("ALLUSE_RAN", os.devnull)
    until = time.monotonic() + float(os.environ.get("ALLUSE_SECONDS", "inf"))
    total = Tally()
    with closing(torture(range(first, first + count))) as results:
        for result in results:
            total.add(result)
            tell(path, ran=1)
            if result.problems:
                again = f"alluse torture --sessions 1 --seed {result.plan.seed}"
                tell(path, broken=str(result), again=again)
            if time.monotonic() > until:
                break
    if total.sent < _LITTLE * total.sessions:
        tell(path, broken=f"{total.sent} orders sent in {total.sessions} sessions show little")
    print(
        f"seeds {first} to {first + total.sessions - 1}: {total.orders} orders, "
        f"{total.sent} at the broker, {total.fills} fills, {total.kills} kills, "
        f"{total.undetermined} UNKNOWN, "
        f"{len(total.broken)} broken"
    )
    return bool(total.broken)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
