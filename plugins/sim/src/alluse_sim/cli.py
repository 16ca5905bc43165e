"""``alluse torture``."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import attrs
import click

from alluse_core.errors import UsageError
from alluse_sim import planted
from alluse_sim.plan import LIBRARIES, Plan
from alluse_sim.session import LEDGER, Result, simulate
from alluse_sim.stories import STORIES
from alluse_sim.torture import Hunt, Tally, hunt, torture

_EVERY_SECONDS = 2.0
_INTERRUPTED, _TERMINATED = 130, 143


@click.command()
@click.option(
    "--sessions",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many seeds to play.",
)
@click.option("--seed", default=1, show_default=True, help="The first seed.")
@click.option(
    "--jobs", type=click.IntRange(min=0), default=0, help="Processes; 0: one for each core."
)
@click.option("--planted", "bug", metavar="NAME", help="Plant a bug and look whether it is found.")
@click.option("--all-planted", is_flag=True, help="Plant every bug, one after the other.")
@click.option(
    "--soak",
    "days",
    type=click.IntRange(min=0),
    default=0,
    help="Play so many days with nightly restarts instead.",
)
@click.option("--client", metavar="LIBRARY", help="Play a bot on a bare client library instead.")
@click.option(
    "--scenario", metavar="NAME", help="Play one of the gateway's scenarios; 'all': each."
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the journal, the broker's ledger and the plan of one session in this folder.",
)
@click.option("--list", "listing", is_flag=True, help="List faults and bugs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    sessions: int,
    seed: int,
    jobs: int,
    bug: str | None,
    all_planted: bool,
    days: int,
    client: str | None,
    scenario: str | None,
    keep: Path | None,
    listing: bool,
    as_json: bool,
) -> None:
    """Trade through seeded faults in virtual time, and compare with the broker's own ledger.

    Every session runs the real order path, the IBKR adapter and the client library against the
    simulated gateway; a number decides all of it. One session is played again, and told in
    detail, by --sessions 1 --seed N; --keep DIR leaves its journal and the broker's ledger. Ends
    with status 1 where a promise was broken, with 130 after Ctrl-C. --client ib_insync or ib_async
    counts what a bot on the library alone loses in the same sessions.
    """
    if keep is not None and (sessions != 1 or days or client or all_planted or scenario):
        raise UsageError("--keep keeps one session", hint="--sessions 1 --seed N --keep DIR")
    if client and (bug or all_planted):
        raise UsageError("--client plays a bare library, in which no bug of ours can be planted")
    logging.disable(logging.CRITICAL)
    if listing:
        _list(as_json)
    elif days:
        _soak(days, seed, as_json)
    elif client:
        from alluse_sim.bare_table import show

        show(range(seed, seed + sessions), client, jobs, as_json)
    elif bug or all_planted:
        _hunt(list(planted.BUGS) if all_planted else [bug or ""], as_json)
    elif scenario:
        _scenarios(list(STORIES) if scenario == "all" else [scenario], seed, as_json)
    elif sessions == 1:
        _one(seed, keep, as_json)
    else:
        _many(range(seed, seed + sessions), jobs, as_json)


def _list(as_json: bool) -> None:
    from alluse_sim.faults import FAULTS

    scenarios = {
        name: "; ".join(text for text, _ in story.reactions) for name, story in STORIES.items()
    }
    faults = {name: (fault.__doc__ or "").splitlines()[0] for name, fault in FAULTS.items()}
    bugs = {bug.name: bug.undoes for bug in planted.BUGS.values()}
    if as_json:
        click.echo(json.dumps({"faults": faults, "bugs": bugs, "scenarios": scenarios}, indent=2))
        return
    for title, rows in (
        ("faults", faults),
        ("bugs, by the rule that each undoes", bugs),
        ("scenarios, and what must happen in each", scenarios),
    ):
        click.echo(title)
        for name, text in rows.items():
            click.echo(f"  {name:<32}{text}")


# --- sessions -----------------------------------------------------------------------------------


def _one(seed: int, keep: Path | None, as_json: bool) -> None:
    result = simulate(Plan.draw(seed), keep)
    if as_json:
        click.echo(json.dumps(attrs.asdict(result), indent=2))
    else:
        plan = result.plan
        click.echo(f"seed {seed}: {plan.library}, faults {', '.join(plan.faults)}")
        click.echo(
            f"{result.orders} orders, {result.sent} at the broker, {result.fills} fills, "
            f"{result.kills} kills, {result.seconds:.1f} virtual seconds"
        )
        click.echo(", ".join(f"{count} {state}" for state, count in result.states.items()))
        click.echo(f"digest {result.digest}")
        for problem in result.problems:
            click.echo(f"BROKEN  {problem}")
        if keep is not None:
            click.echo(f"alluse orders show KEY --out {keep}    an order's story by the journal")
            click.echo(f"{keep / LEDGER}    by the broker")
    sys.exit(bool(result.problems))


def _many(seeds: range, jobs: int, as_json: bool) -> None:
    total, interrupted = Tally(), False
    # An orderly end, so that the processes that play for this one end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    with closing(torture(seeds, jobs)) as results:
        try:
            _follow(results, total, len(seeds), as_json)
        except KeyboardInterrupt:
            interrupted = True
            click.echo(f"interrupted after {total.sessions} of {len(seeds)} sessions", err=True)
    if as_json:
        click.echo(json.dumps({**total.as_json(), "interrupted": interrupted}, indent=2))
    else:
        _sum_up(total)
    sys.exit(_INTERRUPTED if interrupted else bool(total.broken))


def _follow(results: Iterable[Result], total: Tally, wanted: int, as_json: bool) -> None:
    """Count results as they come, and tell how far it is."""
    began, told = time.perf_counter(), 0.0
    for result in results:
        total.add(result)
        total.seconds = time.perf_counter() - began
        if result.problems and not as_json:
            click.echo(_broken(result))
        if total.seconds - told > _EVERY_SECONDS:
            told = total.seconds
            left = (wanted - total.sessions) * total.seconds / total.sessions
            click.echo(
                f"{total.sessions} of {wanted} sessions, {len(total.broken)} broken, "
                f"about {left:.0f} s to go",
                err=True,
            )


def _broken(result: Result) -> str:
    again = f"alluse torture --sessions 1 --seed {result.plan.seed} --keep DIR"
    return f"BROKEN {result}\n  again, with its journal and the broker's ledger: {again}"


def _sum_up(total: Tally) -> None:
    click.echo(
        f"{total.sessions} sessions, {total.orders} orders, {total.sent} at the broker, "
        f"{total.fills} fills, {total.kills} processes killed, "
        f"{total.virtual / 60:.0f} virtual minutes in {total.seconds:.0f} s"
    )
    click.echo(", ".join(f"{name} {count}" for name, count in sorted(total.faults.items())))
    click.echo(
        f"{len(total.broken)} sessions with an order lost, sent twice or told of wrongly; "
        f"{total.undetermined} orders stayed UNKNOWN, loudly, where no evidence could be had"
    )


def _soak(days: int, seed: int, as_json: bool) -> None:
    from alluse_sim.soak import soak

    told = soak(days, seed)
    if as_json:
        click.echo(json.dumps(attrs.asdict(told), indent=2))
    else:
        last = told.days[-1]
        click.echo(
            f"{len(told.days)} days to {last.date}: {told.restarts} restarts, {told.logins} weekly "
            f"logins, {told.jumps} jumps of the clock, {last.orders} orders, {last.fills} fills"
        )
        click.echo(f"{told.days[0].held} objects of the order path at first, {last.held} at last")
        for problem in told.problems:
            click.echo(f"BROKEN  {problem}")
    sys.exit(bool(told.problems))


# --- scenarios -----------------------------------------------------------------------------------


def _scenarios(names: list[str], seed: int, as_json: bool) -> None:
    """Play scenarios with both client libraries; a missing reaction is a problem too."""
    results = [
        simulate(Plan.through(name, library, seed)) for name in names for library in LIBRARIES
    ]
    if as_json:
        click.echo(json.dumps([attrs.asdict(result) for result in results], indent=2))
    else:
        for result in results:
            verdict = "BROKEN" if result.problems else "ok"
            click.echo(
                f"{result.plan.scenario:<20}{result.plan.library:<12}{verdict:<8}"
                f"{result.sent} orders sent, {result.fills} fills, "
                f"{result.seconds:.0f} virtual seconds"
            )
            for problem in result.problems:
                click.echo(f"    {problem}")
    sys.exit(any(result.problems for result in results))


# --- planted bugs -------------------------------------------------------------------------------


def _hunt(names: list[str], as_json: bool) -> None:
    hunts: list[Hunt] = []
    for name in names:
        found = hunt(name)
        hunts.append(found)
        if not as_json:
            verdict = f"caught by seed {found.seed}: {found.problem}" if found.caught else "MISSED"
            click.echo(f"{found.bug:<32}{verdict[:160]}")
    caught = sum(each.caught for each in hunts)
    if as_json:
        rows = [
            {**attrs.asdict(each), "problem": each.problem, "caught": each.caught} for each in hunts
        ]
        click.echo(json.dumps({"caught": caught, "planted": len(hunts), "bugs": rows}, indent=2))
    else:
        click.echo(f"{caught} of {len(hunts)} planted bugs were caught")
    sys.exit(caught < len(hunts))
