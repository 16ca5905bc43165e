"""``alluse orders classify|unclassified``: what a broker's code means, and which are not known."""

from __future__ import annotations

from pathlib import Path

import click

from alluse_core.cli.output import print_json, print_table
from alluse_core.model import LinkState, OrderState, Verb
from alluse_core.orders.outcomes import Explanation, Phase, Rule, explain
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.user_rules import table_with
from alluse_core.settings import Settings
from alluse_core.state import JOURNAL

_NO_ORDER = "none"


@click.command()
@click.argument("code", type=int)
@click.argument("text", default="")
@click.option(
    "--verb",
    type=click.Choice([*(verb.value for verb in Verb), _NO_ORDER]),
    default=Verb.PLACE.value,
    help="What was in flight for the order, or asked; none: the error names no order.",
)
@click.option(
    "--state",
    type=click.Choice([state.value for state in OrderState], case_sensitive=False),
    help="The order's state when the error came.",
)
@click.option(
    "--link",
    type=click.Choice([state.value for state in LinkState]),
    default=LinkState.UP.value,
    help="The link's state when the error came.",
)
@click.option("--config", type=click.Path(dir_okay=False), help="Settings file with own rules.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def orders_classify(
    code: int,
    text: str,
    verb: str,
    state: str | None,
    link: str,
    config: str | None,
    as_json: bool,
) -> None:
    """Say what a broker's error code means for an order, which rule decides, and why."""
    found = explain(
        code,
        text,
        None if verb == _NO_ORDER else Verb(verb),
        Phase.SENT,
        OrderState(state.upper()) if state else None,
        LinkState(link),
        table=table_with(Settings.load(config).orders.errors),
    )
    if as_json:
        print_json(_facts(code, found))
        return
    outcome = found.outcome
    click.echo(f"{code} is {outcome.error_class.value}: {outcome.action.value}")
    click.echo(f"evidence is {'asked for' if outcome.evidence_needed else 'not needed'}")
    click.echo(f"decided by {_origin(found.rule)}: {'; '.join(found.reasons)}")


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of journal.db: a demo's --out, or the state folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def orders_unclassified(out: Path, as_json: bool) -> None:
    """List the codes that came and that no rule knew, the most frequent first."""
    with JournalReader(out / JOURNAL) as reader:
        found = reader.unclassified()
    if as_json:
        print_json(found)
        return
    print_table(
        ("code", "times", "first (UTC)", "last (UTC)", "about orders", "last text"),
        [
            (
                str(each.code),
                str(each.times),
                f"{each.first:%Y-%m-%d %H:%M:%S}",
                f"{each.last:%Y-%m-%d %H:%M:%S}",
                str(each.about_orders),
                each.text,
            )
            for each in found
        ],
    )
    if found:
        click.echo("name what each means in [[orders.errors]] of the settings", err=True)


def _origin(rule: Rule | None) -> str:
    if rule is None:
        return "no rule"
    return "a rule of the settings" if rule.added else "the table"


def _facts(code: int, found: Explanation) -> dict[str, object]:
    rule = found.rule
    return {
        "code": code,
        "class": found.outcome.error_class,
        "action": found.outcome.action,
        "evidence_needed": found.outcome.evidence_needed,
        "decided_by": _origin(rule),
        "rule": None
        if rule is None
        else {
            "codes": rule.codes,
            "verbs": None
            if rule.verbs is None
            else [_NO_ORDER if verb is None else verb.value for verb in rule.verbs],
            "text": rule.text,
            "pattern": "" if rule.pattern is None else rule.pattern.pattern,
            "states": rule.states,
        },
        "reasons": found.reasons,
    }
