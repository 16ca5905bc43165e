"""From ``[[orders.errors]]`` of the settings to rules that stand in front of the table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

from alluse_core.errors import SettingsError
from alluse_core.model import OrderState, Verb
from alluse_core.orders.outcomes import (
    NO_PROOF,
    TABLE,
    Action,
    ErrorClass,
    Outcome,
    Rule,
    classify,
)
from alluse_core.ports import Classify
from alluse_core.settings import ErrorRule, RuleClass, RuleVerb

# Whatever a rule says about an order, evidence is asked for: only INFO changes nothing, and only
# a refusal that somebody called certain is believed as it is.
_OUTCOMES: Mapping[RuleClass, Outcome] = {
    RuleClass.INFO: Outcome(ErrorClass.INFO, Action.LOG),
    RuleClass.DEFINITE_REJECT: Outcome(ErrorClass.DEFINITE_REJECT, Action.TERMINAL),
    RuleClass.COMMAND_REJECT: Outcome(ErrorClass.COMMAND_REJECT, Action.KEEP_STATE, True),
    RuleClass.HELD: Outcome(ErrorClass.HELD, Action.HOLD, True),
    RuleClass.NOT_FOUND: Outcome(ErrorClass.NOT_FOUND, Action.PROVE, True),
    RuleClass.AMBIGUOUS: Outcome(ErrorClass.AMBIGUOUS, Action.UNKNOWN, True),
    RuleClass.PACING: Outcome(ErrorClass.PACING, Action.BACK_OFF, True),
    RuleClass.STREAM: Outcome(ErrorClass.STREAM, Action.STREAM_REFUSED),
}
_VERBS: Mapping[RuleVerb, Verb | None] = {
    RuleVerb.PLACE: Verb.PLACE,
    RuleVerb.MODIFY: Verb.MODIFY,
    RuleVerb.CANCEL: Verb.CANCEL,
    RuleVerb.DEFINE: Verb.DEFINE,
    RuleVerb.HISTORY: Verb.HISTORY,
    RuleVerb.NONE: None,
}


def table_with(rules: Sequence[ErrorRule], table: Sequence[Rule] = TABLE) -> tuple[Rule, ...]:
    """Return the user's rules, then the table.

    Raises SettingsError for a rule that would end orders by a code which the table takes for no
    proof of an end.
    """
    return (*(_rule(number, rule, table) for number, rule in enumerate(rules, 1)), *table)


def classifier(rules: Sequence[ErrorRule]) -> Classify:
    """Return what brokers are opened with: :func:`classify` by the table with the user's rules."""
    return partial(classify, table=table_with(rules))


def _rule(number: int, given: ErrorRule, table: Sequence[Rule]) -> Rule:
    verbs = frozenset(_VERBS[verb] for verb in given.verbs) or None
    if given.certain:
        _refuse_as_proof(number, given, verbs, table)
    return Rule(
        given.codes,
        _OUTCOMES[given.error_class],
        verbs,
        given.text,
        given.reason,
        re.compile(given.pattern) if given.pattern else None,
        frozenset(OrderState(state) for state in given.states) or None,
        added=True,
    )


def _refuse_as_proof(
    number: int,
    given: ErrorRule,
    verbs: frozenset[Verb | None] | None,
    table: Sequence[Rule],
) -> None:
    def speaks(of: int) -> list[Rule]:
        return [
            rule
            for rule in table
            if of in rule.codes and (verbs is None or rule.verbs is None or verbs & rule.verbs)
        ]

    for code in given.codes:
        known = speaks(code)
        if known and all(rule.outcome.error_class in NO_PROOF for rule in known):
            raise SettingsError(
                f"[[orders.errors]] number {number}: {code} cannot end an order:"
                f" it is {known[0].outcome.error_class.value}, {known[0].reason}",
                hint="leave the code to the table; evidence settles the order",
            )
