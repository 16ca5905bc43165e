"""What a bare client library loses over many seeds, beside ALL-USE on the same ones."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import attrs
import click

from alluse_sim.bare import Losses, plan_for, play
from alluse_sim.session import Result, simulate
from alluse_sim.torture import quiet

ROWS = (
    ("orders", "orders placed"),
    ("never_arrived", "believed live, never at the broker"),
    ("ended_unnoticed", "believed live, ended at the broker"),
    ("cancelled_yet_alive", "believed cancelled, live or filled at the broker"),
    ("sent_twice", "at the broker more than once"),
    ("fills_unknown", "executions not known"),
    ("positions_wrong", "positions that differ"),
)
"""Fields of Losses, and what a reader is told of them."""

_BROKEN = {
    "sent_twice": "was sent twice",
    "never_arrived": "never reached the broker",
    "fills_unknown": "has the fills",
    "positions_wrong": "the position of",
}
"""The checker's sentences that say of ALL-USE what Losses counts of a bot."""


@attrs.frozen
class Compared:
    """One seed: the bot, the bot that retries, and ALL-USE."""

    bare: Losses
    retrying: Losses
    alluse: Result


def compare(seed: int, client: str) -> Compared:
    """Play a seed three times."""
    plan = plan_for(seed, client)
    return Compared(play(plan, retry=False), play(plan, retry=True), simulate(plan))


def compared(seeds: Sequence[int], client: str, jobs: int = 0) -> Iterator[Compared]:
    """Play seeds in ``jobs`` processes (0: one for each core), in order."""
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1 or len(seeds) == 1:
        yield from (compare(seed, client) for seed in seeds)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=quiet) as pool:
        yield from pool.map(partial(compare, client=client), seeds, chunksize=2)


def add_up(client: str, found: Sequence[Compared]) -> dict[str, Any]:
    """Return the sums, JSON-ready: by contestant and row, sessions with a loss included."""
    return {
        "client": client,
        "sessions": len(found),
        "bare": _sums([each.bare for each in found]),
        "retrying": _sums([each.retrying for each in found]),
        "alluse": _of_alluse([each.alluse for each in found]),
    }


def _sums(losses: Sequence[Losses]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in losses:
        total.update(each.counts)
    sums = {name: total[name] for name, _ in ROWS}
    return {**sums, "sessions_wrong": sum(each.any for each in losses), "unknown": 0}


def _of_alluse(results: Sequence[Result]) -> dict[str, int]:
    problems = [problem for result in results for problem in result.problems]
    sums = dict.fromkeys((name for name, _ in ROWS), 0)
    for name, words in _BROKEN.items():
        sums[name] = sum(words in problem for problem in problems)
    known = sum(sums.values())
    # What fits no row is still wrong: it is told as an order whose end was not noticed.
    sums["ended_unnoticed"] = len(problems) - known
    sums["orders"] = sum(result.orders for result in results)
    wrong = sum(bool(result.problems) for result in results)
    unknown = sum(result.states.get("UNKNOWN", 0) for result in results)
    return {**sums, "sessions_wrong": wrong, "unknown": unknown}


def table(sums: dict[str, Any]) -> str:
    """Return the sums as a Markdown table."""
    client = sums["client"]
    lines = [
        f"| {sums['sessions']} sessions | {client} | {client}, placing again | ALL-USE |",
        "|---|---|---|---|",
    ]
    rows = (
        *ROWS,
        ("unknown", "told to be UNKNOWN, loudly"),
        ("sessions_wrong", "sessions in which something was believed wrongly"),
    )
    for name, text in rows:
        cells = " | ".join(f"{sums[who][name]:,}" for who in ("bare", "retrying", "alluse"))
        lines.append(f"| {text} | {cells} |")
    return "\n".join(lines)


def show(seeds: Sequence[int], client: str, jobs: int, as_json: bool) -> None:
    """Play, and print the table or JSON. Raises UsageError for a library that is not known."""
    plan_for(seeds[0], client)
    sums = add_up(client, list(compared(seeds, client, jobs)))
    click.echo(json.dumps(sums, indent=2) if as_json else table(sums))
