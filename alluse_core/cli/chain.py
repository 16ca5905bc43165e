"""``alluse chain``: what reading an option chain costs, and then its quotes."""

from __future__ import annotations

import asyncio
import math

import click

import alluse_core as alluse
from alluse_core.cli.output import print_json, print_table
from alluse_core.errors import UsageError
from alluse_core.model import (
    ChainPlan,
    ChainProgress,
    ChainRow,
    ChainWindow,
    Instrument,
    OptionChain,
)


@click.command()
@click.argument("symbol")
@click.option("--config", type=click.Path(dir_okay=False), help="Settings file.")
@click.option("--expiries", type=click.IntRange(1), default=2, help="How many, the next first.")
@click.option("--strikes", type=click.IntRange(1), default=10, help="How many, the nearest first.")
@click.option("--trading-class", default="", help="A class that is named otherwise, as SPXW.")
@click.option("--price", type=float, help="Choose strikes around this price.")
@click.option("--yes", is_flag=True, help="Read without asking.")
@click.option("--json", "as_json", is_flag=True, help="Print plan and rows as JSON; never asks.")
def chain(
    symbol: str,
    config: str | None,
    expiries: int,
    strikes: int,
    trading_class: str,
    price: float | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Read the option chain of SYMBOL, a US stock or an instrument's id, as IND:SPX:CBOE:USD.

    Says first how many market data lines, messages and seconds it takes, and asks. Uses the lines
    that are free and gives them back.
    """
    try:
        underlying = Instrument.parse(symbol)
    except ValueError as error:
        raise UsageError(str(error), hint="as in AAPL or IND:SPX:CBOE:USD") from None
    window = ChainWindow(expiries=expiries, strikes=strikes, trading_class=trading_class)
    settings = alluse.Settings.load(config)
    return asyncio.run(
        _chain(settings, underlying, window, price, ask=not (yes or as_json), as_json=as_json)
    )


async def _chain(
    settings: alluse.Settings,
    underlying: Instrument,
    window: ChainWindow,
    price: float | None,
    *,
    ask: bool,
    as_json: bool,
) -> int:
    async with alluse.open(settings) as runtime:
        chains = runtime.quotes.chains
        plan = await chains.plan(underlying, window, price=price)
        for line in told(plan):
            click.echo(line, err=True)
        if ask and not await asyncio.to_thread(click.confirm, "Read it?", err=True):
            return 0
        read = await chains.read(plan, None if as_json else _show)
        click.echo(err=True)
    _print(read, as_json=as_json)
    return 0


def told(plan: ChainPlan) -> list[str]:
    """Return the lines that say what a plan reads and costs."""
    cost = plan.cost
    days = ", ".join(day.isoformat() for day in plan.expiries)
    expected = "" if math.isnan(cost.seconds) else f"about {cost.seconds:.1f} s, "
    return [
        f"{plan.underlying} at {plan.price:g}: {plan.parameters.trading_class} options of {days}, "
        f"strikes {plan.strikes[0]} to {plan.strikes[-1]}",
        f"{cost.contracts} contracts through {cost.lines} free lines, {cost.messages} messages",
        f"{expected}at least {cost.least_seconds:.1f} s at the broker's pace, "
        f"at most {cost.most_seconds:.1f} s where none answers",
    ]


def _show(progress: ChainProgress) -> None:
    click.echo(
        f"\r{progress.done} of {progress.options} options, {progress.quoted} quoted, "
        f"{progress.lines} lines in use ",
        nl=False,
        err=True,
    )


def _print(read: OptionChain, *, as_json: bool) -> None:
    if as_json:
        print_json(read)
        return
    header = ("expiry", "strike", "right", "bid", "ask", "bid size", "ask size", "type", "missing")
    print_table(header, [_cells(row) for row in read.rows])
    quoted = sum(not row.missing for row in read.rows)
    click.echo(
        f"{quoted} of {len(read.rows)} quoted in {read.seconds:.1f} s, "
        f"{read.most_lines} lines at most",
        err=True,
    )


def _cells(row: ChainRow) -> tuple[object, ...]:
    option, quote = row.option, row.quote
    name = (option.expiry, option.strike, option.right)
    if quote is None:
        return (*name, None, None, None, None, None, row.missing)
    sides = (quote.bid, quote.ask, quote.bid_size, quote.ask_size, quote.data_type)
    return (*name, *sides, row.missing)
