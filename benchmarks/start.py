"""What a start costs over journals of growing length: the check of the chain, and recovery.

The same journals are opened twice in turn: as a start does, which goes on from the checkpoint that
the process before it left, and with the checkpoint taken away, which walks all there is. Counted is
processor time, from the opening until the order service is ready to ask its broker.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alluse_core.clock import SystemClock
from alluse_core.model import Instrument, NodeIdentity, Order, Side
from alluse_core.orders.approval import believed
from alluse_core.orders.checkpoint import checkpoint_path
from alluse_core.orders.committer import InlineCommitter
from alluse_core.orders.journal import Journal
from alluse_core.orders.records import Kind, Row, Scribe, digest_of, order_fields
from alluse_core.orders.recovery import rebuild
from benchmarks.measure import Result

QUICK = {"lengths": (500, 1_000), "rounds": 1}

NODE = NodeIdentity("bench", "bench", "bench", "bench")
AAPL = Instrument.stock("AAPL")
LIVE = 20
"""So many orders still live, however long the journal is: they are what a start needs."""
BATCH = 2_000
GOAL = 3.0


def run(
    *, lengths: Sequence[int] = (10_000, 100_000, 1_000_000), rounds: int = 5
) -> Iterator[Result]:
    """Yield, for each length, a start's processor time against that of the shortest journal."""
    first: float | None = None
    for length in lengths:
        with TemporaryDirectory(dir=Path.cwd()) as folder:
            path = Path(folder) / "journal.db"
            write(path, length)
            kept = checkpoint_path(path).read_bytes()
            starts, walks = [], []
            for _ in range(rounds):
                checkpoint_path(path).write_bytes(kept)
                starts.append(_start(path))
                checkpoint_path(path).unlink()
                walks.append(_start(path))
        first = first or statistics.median(starts)
        yield _result(length, starts, walks, first)


def write(path: Path, length: int) -> None:
    """Write a journal of about ``length`` records as a long session leaves it."""
    journal = Journal(path, clock=SystemClock(), node=NODE, committer=InlineCommitter())
    rows: list[Row] = []
    number = written = 0
    every = length // LIVE
    while written + len(rows) < length:
        number += 1
        here = written + len(rows)
        ends = here // every == (here + 5) // every
        rows += _life(journal.scribe, number, ends=ends)
        if len(rows) >= BATCH:
            journal.append(*rows)
            journal.sign_off()
            written += len(rows)
            rows = []
    journal.append(*rows)
    journal.close()
    Journal(path, clock=SystemClock(), node=NODE, committer=InlineCommitter()).close()


def _life(scribe: Scribe, number: int, *, ends: bool) -> list[Row]:
    key, ref = f"agent-{number % 75}/{number}", f"AU-bench-{number:012d}"
    order = Order.limit(AAPL, Side.BUY, 100, Decimal("189.50"), key=key, broker="b", account="DU1")

    def row(kind: Kind, fields: Mapping[str, Any], state: str) -> Row:
        return scribe.row(kind, fields, key, ref, state)

    facts = {"broker": "b", "account": "DU1", "source": "report"}
    sent = {**facts, "event": "SEND", "order_id": number, "client_id": 1, "parent": 0}
    wanted = order_fields(order) | {"digest": digest_of(order), "event": "SUBMIT"}
    rows = [
        row(Kind.ORDER, wanted, "SUBMITTED"),
        row(Kind.EVENT, sent, ""),
        row(Kind.EVENT, {**facts, "event": "WORK", "perm_id": 10_000 + number}, "ACCEPTED"),
    ]
    if number % 250 == 0:
        rows.append(scribe.row(Kind.IDS, {"broker": "b", "client_id": 1, "up_to": number + 250}))
        rows.append(scribe.row(Kind.POSITION, {"broker": "b", "positions": []}))
    if ends:
        rows.append(row(Kind.EVENT, {**facts, "event": "CANCEL", "before": "ACCEPTED"}, "CANCELED"))
        rows.append(row(Kind.COMMISSION, {**facts, "amount": "1.00"}, "CANCELED"))
    return rows


def _start(path: Path) -> float:
    """Return the processor seconds of a start; what ending takes is not counted."""
    began = time.process_time()
    journal = Journal(path, clock=SystemClock(), node=NODE, committer=InlineCommitter())
    general, stories = journal.recover()
    lives = [rebuild(story) for story in stories]
    told = max((each.sequence for each in general if each.kind == Kind.POSITION), default=0)
    with journal.read() as reader:
        believed(reader, "b", told)
    spent = time.process_time() - began
    if journal.problem or None in lives:
        raise AssertionError(f"the journal was read wrong: {journal.problem}")
    journal.close()
    return spent


def _result(length: int, starts: Sequence[float], walks: Sequence[float], first: float) -> Result:
    ratios = [start / first for start in starts]
    return Result(
        f"start {length // 1000}k",
        f"processor time of a start over {length:,} records, against the shortest journal",
        statistics.median(ratios),
        GOAL,
        False,
        f"{statistics.median(starts) * 1e3:,.1f} ms from the checkpoint",
        f"{statistics.median(walks) * 1e3:,.1f} ms where all is walked",
        len(starts),
        (min(ratios), max(ratios)),
    )
