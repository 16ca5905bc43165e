"""What a broker's error means depends on the verb, the order's state and the link."""

from __future__ import annotations

import pytest

from alluse_core.model import LinkState, OrderState, Verb
from alluse_core.orders.outcomes import (
    TABLE,
    Action,
    ErrorClass,
    Outcome,
    Phase,
    Rule,
    classify,
    explain,
)


@pytest.mark.parametrize(
    ("code", "verb", "error_class"),
    [
        (2104, None, ErrorClass.INFO),
        (399, Verb.PLACE, ErrorClass.INFO),
        (10349, Verb.MODIFY, ErrorClass.INFO),
        (202, Verb.CANCEL, ErrorClass.INFO),
        (202, Verb.PLACE, ErrorClass.DEFINITE_REJECT),
        (202, Verb.MODIFY, ErrorClass.DEFINITE_REJECT),
        (201, Verb.PLACE, ErrorClass.DEFINITE_REJECT),
        (110, Verb.PLACE, ErrorClass.DEFINITE_REJECT),
        (201, Verb.MODIFY, ErrorClass.COMMAND_REJECT),
        (110, Verb.MODIFY, ErrorClass.COMMAND_REJECT),
        (321, Verb.MODIFY, ErrorClass.COMMAND_REJECT),
        (200, None, ErrorClass.COMMAND_REJECT),
        (10148, Verb.CANCEL, ErrorClass.COMMAND_REJECT),
        (161, Verb.CANCEL, ErrorClass.COMMAND_REJECT),
        (104, Verb.MODIFY, ErrorClass.COMMAND_REJECT),
        (404, Verb.PLACE, ErrorClass.HELD),
        (10147, Verb.CANCEL, ErrorClass.NOT_FOUND),
        (135, Verb.MODIFY, ErrorClass.NOT_FOUND),
        (103, Verb.PLACE, ErrorClass.AMBIGUOUS),
        (322, Verb.PLACE, ErrorClass.AMBIGUOUS),
        (100, Verb.PLACE, ErrorClass.PACING),
        (1100, None, ErrorClass.LINK),
        (1101, None, ErrorClass.LINK),
        (1102, None, ErrorClass.LINK),
        (504, None, ErrorClass.SOCKET),
        (10182, None, ErrorClass.STREAM),
        (317, None, ErrorClass.STREAM),
        (10225, None, ErrorClass.STREAM),
        (10197, None, ErrorClass.STREAM),
        (354, None, ErrorClass.STREAM),
        (2103, None, ErrorClass.STREAM),
        (326, None, ErrorClass.SESSION),
        (99999, Verb.PLACE, ErrorClass.UNCLASSIFIED),
    ],
)
def test_a_code_has_the_class_of_its_verb(
    code: int, verb: Verb | None, error_class: ErrorClass
) -> None:
    assert classify(code, "", verb).error_class is error_class


def test_no_answer_after_the_send_is_ambiguous() -> None:
    assert classify(None, "timed out", Verb.PLACE, Phase.SENT) == Outcome(
        ErrorClass.AMBIGUOUS, Action.UNKNOWN, True
    )


def test_what_did_not_leave_is_denied_locally() -> None:
    assert classify(None, "no link", Verb.PLACE, Phase.UNSENT) == Outcome(
        ErrorClass.LOCAL_DENY, Action.DENY
    )


def test_162_is_pacing_by_its_text_only() -> None:
    pacing = (
        "Historical Market Data Service error message:API historical data query Pacing Violation"
    )
    assert classify(162, pacing).error_class is ErrorClass.PACING
    assert classify(162, "query returned no data").error_class is ErrorClass.COMMAND_REJECT


def test_too_many_messages_needs_evidence_only_where_something_left() -> None:
    assert classify(100, "", Verb.PLACE, Phase.SENT).evidence_needed
    assert not classify(100, "", Verb.PLACE, Phase.UNSENT).evidence_needed


@pytest.mark.parametrize(
    "state", [OrderState.FILLED, OrderState.PARTIALLY_FILLED, OrderState.CANCELED]
)
def test_a_reject_undoes_neither_a_fill_nor_an_end(state: OrderState) -> None:
    assert classify(201, "", Verb.PLACE, order_state=state) == Outcome(
        ErrorClass.COMMAND_REJECT, Action.KEEP_STATE, True
    )


@pytest.mark.parametrize("state", [OrderState.ACCEPTED, OrderState.HELD])
def test_a_reject_of_an_accepted_order_is_believed_after_evidence(state: OrderState) -> None:
    assert classify(201, "", Verb.PLACE, order_state=state) == Outcome(
        ErrorClass.DEFINITE_REJECT, Action.TERMINAL, True
    )


def test_a_reject_of_a_submitted_order_is_final() -> None:
    assert classify(201, "", Verb.PLACE, order_state=OrderState.SUBMITTED) == Outcome(
        ErrorClass.DEFINITE_REJECT, Action.TERMINAL
    )


def test_an_answer_during_an_outage_needs_evidence() -> None:
    assert classify(201, "", Verb.PLACE, link=LinkState.DEGRADED).evidence_needed
    assert not classify(399, "", Verb.PLACE, link=LinkState.DEGRADED).evidence_needed


def test_an_unasked_202_alarms() -> None:
    assert classify(202, "", Verb.PLACE).action is Action.TERMINAL_ALARM


def test_a_new_code_asks_for_evidence_first() -> None:
    assert classify(31337) == Outcome(ErrorClass.UNCLASSIFIED, Action.PROVE, True)


def test_a_users_rule_goes_before_the_published_table() -> None:
    mine = Rule((201,), Outcome(ErrorClass.HELD, Action.HOLD), text="waiting for APPROVAL")
    table = (mine, *TABLE)
    held = classify(201, "Order is waiting for approval", Verb.PLACE, table=table)
    assert held.error_class is ErrorClass.HELD
    other = classify(201, "Margin", Verb.PLACE, table=table)
    assert other.error_class is ErrorClass.DEFINITE_REJECT


def test_no_rule_of_the_table_is_unreachable() -> None:
    verbs = (*Verb, None)
    for rule in TABLE:
        reached = any(
            next(r for r in TABLE if r.fits(code, rule.text, verb)) is rule
            for code in rule.codes
            for verb in verbs
            if rule.fits(code, rule.text, verb)
        )
        assert reached, rule


def said(code: int, *arguments: object, **more: object) -> tuple[str, ...]:
    return explain(code, *arguments, **more).reasons[1:]  # type: ignore[arg-type]


def test_each_step_that_changes_a_verdict_gives_its_reason() -> None:
    placed = ("", Verb.PLACE)
    assert said(201, *placed) == ()
    assert said(201, *placed, order_state=OrderState.FILLED) == (
        "an order that is FILLED cannot be refused any more",
    )
    assert said(201, *placed, order_state=OrderState.HELD) == (
        "the broker had accepted the order before",
    )
    assert said(100, *placed, Phase.UNSENT) == ("it provably did not leave",)
    assert said(201, *placed, link=LinkState.DOWN) == (
        "the link is not up: the answer may be the terminal's own, not the venue's",
    )
    ends = Rule((202,), Outcome(ErrorClass.DEFINITE_REJECT, Action.TERMINAL), added=True)
    assert said(202, *placed, table=(ends, *TABLE)) == (
        "the table asks for evidence, and so it is asked for",
    )
    held = Rule((404,), Outcome(ErrorClass.DEFINITE_REJECT, Action.TERMINAL), added=True)
    assert said(404, *placed, table=(held, *TABLE)) == (
        "but an added rule cannot end an order by this code: "
        "alive at the broker, waiting for shares to be located",
    )


def test_what_decided_without_a_rule_says_so_too() -> None:
    def told(code: int | None, phase: Phase = Phase.SENT) -> tuple[str, ...]:
        found = explain(code, "", Verb.PLACE, phase)
        assert found.rule is None
        return found.reasons

    assert told(None) == ("no answer came: the message may have arrived",)
    assert told(None, Phase.UNSENT) == ("nothing left this process",)
    assert told(31337) == ("no rule knows this code: evidence is asked for",)
    worded = (Rule((31337,), Outcome(ErrorClass.INFO, Action.LOG), text="x"),)
    assert explain(31337, table=worded).rule is None
    assert classify(31337, table=worded).error_class is ErrorClass.UNCLASSIFIED
    plain = Rule((31337,), Outcome(ErrorClass.INFO, Action.LOG))
    assert explain(31337, table=(plain,)).reasons == ("the rule says so",)
