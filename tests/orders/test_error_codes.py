"""The table of error codes is complete, extended by settings, and never made less careful."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner
from desk_floor import buy, floor, run

import alluse_core as alluse
from alluse_core import Context, Provider, hookimpl
from alluse_core.cli.error_codes import orders_classify, orders_unclassified
from alluse_core.errors import SettingsError
from alluse_core.model import BrokerNotice, LinkState, OrderState, Verb
from alluse_core.orders.outcomes import (
    NO_PROOF,
    TABLE,
    Action,
    ErrorClass,
    Outcome,
    Phase,
    Rule,
    classify,
    explain,
)
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.user_rules import table_with
from alluse_core.ports import Broker
from alluse_core.settings import ErrorRule, OrdersSettings, RuleClass, RuleVerb, Settings
from alluse_core.testing import make_context
from alluse_core.testing.fakes import FakeBroker

C = ErrorClass

# The codes of the TWS API's list of system messages, by what is said of them there.
SYSTEM_MESSAGES = (
    *(2104, 2106, 2158, 2107, 2108, 2159, 2119, 2100, 2109, 2137, 399, 10167, 10349, 202),
    *(2103, 2105, 2157, 2110, 1100, 1102, 1101, 1300, 504, 502, 326, 507, 10182),
    *(100, 162, 420, 366, 101, 309, 10190, 10197, 10225, 317, 316),
    *(200, 203, 321, 322, 354, 430, 10089, 10090, 10168, 10186, 10187, 320, 505),
    *(201, 103, 104, 105, 106, 107, 109, 110, 111, 113, 135, 136, 161, 434, 460, 463),
    *(10147, 10148, 10268, 388, 503),
)
# What they are to us, which holds where the two differ.
MEANINGS = (
    *((code, Verb.PLACE, "", C.INFO) for code in (2104, 2106, 399, 10349)),
    (202, Verb.CANCEL, "", C.INFO),
    *((code, Verb.PLACE, "", C.DEFINITE_REJECT) for code in (201, 110, 202)),
    *((code, Verb.CANCEL, "", C.COMMAND_REJECT) for code in (10148, 161)),
    *((code, Verb.MODIFY, "", C.COMMAND_REJECT) for code in (104, 201, 110, 321)),
    (404, Verb.PLACE, "", C.HELD),
    (10147, Verb.CANCEL, "", C.NOT_FOUND),
    (135, Verb.CANCEL, "", C.NOT_FOUND),
    (103, Verb.PLACE, "", C.AMBIGUOUS),
    (322, Verb.PLACE, "", C.AMBIGUOUS),
    (100, Verb.PLACE, "", C.PACING),
    (162, None, "Historical Market Data Service error: pacing violation", C.PACING),
    (162, Verb.HISTORY, "Historical Market Data Service error: pacing violation", C.PACING),
    (162, Verb.HISTORY, "HMDS query returned no data: AAPL@SMART Trades", C.NOT_FOUND),
    (162, Verb.HISTORY, "API historical data query cancelled: 7", C.COMMAND_REJECT),
    (162, Verb.HISTORY, "No market data permissions for ISLAND STK", C.COMMAND_REJECT),
    (366, Verb.HISTORY, "No historical data query found for ticker id:7", C.COMMAND_REJECT),
    (200, Verb.HISTORY, "No security definition has been found", C.COMMAND_REJECT),
    (200, Verb.DEFINE, "No security definition has been found", C.NOT_FOUND),
    (200, None, "No security definition has been found", C.COMMAND_REJECT),
    (321, Verb.DEFINE, "Error validating request", C.COMMAND_REJECT),
    *((code, None, "", C.LINK) for code in (1100, 1101, 1102)),
    *((code, None, "", C.SOCKET) for code in (502, 504, 507)),
    *((code, None, "", C.STREAM) for code in (10182, 317, 10225, 10197, 354)),
    (326, None, "", C.SESSION),
)


@pytest.mark.parametrize("code", SYSTEM_MESSAGES)
@pytest.mark.parametrize("verb", [*Verb, None])
def test_every_code_of_the_protocols_page_is_in_the_table(code: int, verb: Verb | None) -> None:
    assert classify(code, "", verb).error_class is not C.UNCLASSIFIED


@pytest.mark.parametrize(("code", "verb", "text", "error_class"), MEANINGS)
def test_a_code_has_the_class_of_the_safety_page(
    code: int, verb: Verb | None, text: str, error_class: ErrorClass
) -> None:
    assert classify(code, text, verb).error_class is error_class


# What is done about each code: (codes, verbs, class, action, whether evidence is asked for).
_ANY = (*Verb, None)
_QUESTIONS = (Verb.DEFINE, Verb.HISTORY)
_OF_ORDERS = (Verb.PLACE, Verb.MODIFY, Verb.CANCEL)
_LOGGED = (C.COMMAND_REJECT, Action.LOG, False)
_REFUSED = (106, 107, 109, 110, 111, 113, 200, 201, 203, 321, 388, 430, 434, 460, 463, 10268)
DONE = (
    ((2104, 2106, 2107, 2108, 2119, 2158, 2159), _ANY, C.INFO, Action.LOG, False),
    ((399, 10349), _ANY, C.INFO, Action.LOG, False),
    ((165, 2100, 2109, 2137, 2152, 2174, 2176, 10167), _ANY, C.INFO, Action.LOG, False),
    ((202,), (Verb.CANCEL,), C.INFO, Action.LOG, False),
    ((10090,), _ANY, C.INFO, Action.LOG, False),
    (
        (202,),
        (Verb.PLACE, Verb.MODIFY, None, *_QUESTIONS),
        C.DEFINITE_REJECT,
        Action.TERMINAL_ALARM,
        True,
    ),
    ((404,), _ANY, C.HELD, Action.HOLD, False),
    (_REFUSED, (Verb.PLACE,), C.DEFINITE_REJECT, Action.TERMINAL, False),
    (_REFUSED, (Verb.MODIFY, Verb.CANCEL), C.COMMAND_REJECT, Action.KEEP_STATE, True),
    (_REFUSED, (None, Verb.HISTORY), C.COMMAND_REJECT, Action.LOG, False),
    ([code for code in _REFUSED if code != 200], (Verb.DEFINE,), *_LOGGED),
    ((200,), (Verb.DEFINE,), C.NOT_FOUND, Action.LOG, False),
    ((104, 105, 136, 161, 10148), _ANY, C.COMMAND_REJECT, Action.KEEP_STATE, True),
    ((135, 10147), _ANY, C.NOT_FOUND, Action.PROVE, True),
    ((103, 320, 322), _ANY, C.AMBIGUOUS, Action.UNKNOWN, True),
    ((505,), _OF_ORDERS, C.AMBIGUOUS, Action.UNKNOWN, True),
    ((505,), (None, *_QUESTIONS), *_LOGGED),
    ((100,), _ANY, C.PACING, Action.BACK_OFF, True),
    ((162, 300, 366), _ANY, C.COMMAND_REJECT, Action.LOG, False),
    ((420,), _ANY, C.PACING, Action.BACK_OFF, False),
    ((1100,), _ANY, C.LINK, Action.GATE, False),
    ((1101,), _ANY, C.LINK, Action.RECONCILE_RESUBSCRIBE, True),
    ((1102,), _ANY, C.LINK, Action.RECONCILE, True),
    ((502, 503, 504, 507, 1300), _ANY, C.SOCKET, Action.RECONNECT, True),
    ((2103, 2105, 2110, 2157), _ANY, C.STREAM, Action.MARK_DATA, False),
    ((10197,), _ANY, C.STREAM, Action.GATE_AND_PAGE, False),
    ((316, 317, 10182, 10225), _ANY, C.STREAM, Action.RESUBSCRIBE, False),
    ((101, 309, 354, 10089, 10091), _ANY, C.STREAM, Action.STREAM_REFUSED, False),
    ((10168, 10186, 10187, 10190), _ANY, C.STREAM, Action.STREAM_REFUSED, False),
    ((326,), _ANY, C.SESSION, Action.GATE_AND_PAGE, False),
)


@pytest.mark.parametrize("row", DONE, ids=lambda row: f"{row[0][0]}-{row[2]}-{row[3]}")
def test_what_is_done_about_each_code_by_its_verb(
    row: tuple[tuple[int, ...], tuple[Verb | None, ...], ErrorClass, Action, bool],
) -> None:
    codes, verbs, error_class, action, evidence = row
    for code in codes:
        for verb in verbs:
            assert classify(code, "", verb) == Outcome(error_class, action, evidence), (code, verb)


def test_no_code_is_decided_by_a_number_that_nobody_looked_up() -> None:
    assert {code for rule in TABLE for code in rule.codes} == {
        code for codes, *_ in DONE for code in codes
    }


def test_each_class_and_action_keeps_the_word_that_settings_and_the_journal_know_it_by() -> None:
    for word in (*ErrorClass, *Action, *Phase):
        assert word.value == word.name.lower()


def test_every_rule_says_why() -> None:
    assert [rule.codes for rule in TABLE if not rule.reason] == []


# --- rules of the settings ------------------------------------------------------------------------


def _rule(code: int, error_class: RuleClass = RuleClass.HELD, **more: object) -> ErrorRule:
    return ErrorRule((code,), error_class, "our broker says so", **more)  # type: ignore[arg-type]


def test_a_rule_of_the_settings_is_tried_before_the_table() -> None:
    table = table_with([_rule(201, text="being approved", verbs=(RuleVerb.PLACE,))])
    held = explain(201, "Order is BEING APPROVED", Verb.PLACE, table=table)
    assert held.outcome == Outcome(C.HELD, Action.HOLD, True)
    assert held.reasons == ("our broker says so",)
    assert classify(201, "Margin", Verb.PLACE, table=table) == classify(201, "", Verb.PLACE)
    assert classify(201, "being approved", Verb.MODIFY, table=table) == classify(
        201, "", Verb.MODIFY
    )


def test_a_pattern_and_states_narrow_a_rule() -> None:
    rule = _rule(31337, pattern=r"wait(ing)? \d+ s", states=(OrderState.SUBMITTED,))
    table = table_with([rule])
    fitting = classify(
        31337, "waiting 20 s", Verb.PLACE, Phase.SENT, OrderState.SUBMITTED, table=table
    )
    assert fitting.error_class is C.HELD
    last = "x" * 1_991 + "waiting 2 s"
    for text, error_class in ((last[2:], C.HELD), (last, C.UNCLASSIFIED)):
        read = classify(31337, text, Verb.PLACE, Phase.SENT, OrderState.SUBMITTED, table=table)
        assert read.error_class is error_class, "2,000 signs are read"
    for text, state in (
        ("waiting", OrderState.SUBMITTED),
        ("waiting 20 s", OrderState.ACCEPTED),
        ("waiting 20 s", None),
        ("x" * 5_000 + "waiting 20 s", OrderState.SUBMITTED),
    ):
        other = classify(31337, text, Verb.PLACE, Phase.SENT, state, table=table)
        assert other.error_class is C.UNCLASSIFIED


def test_a_certain_rule_ends_an_order_by_a_new_code_only() -> None:
    rule = _rule(31337, RuleClass.DEFINITE_REJECT, certain=True)
    table = table_with([rule])
    assert classify(31337, "", Verb.PLACE, table=table) == Outcome(
        C.DEFINITE_REJECT, Action.TERMINAL
    )


ENDING = {
    code for rule in TABLE if rule.outcome.error_class is C.DEFINITE_REJECT for code in rule.codes
}


@pytest.mark.parametrize("code", sorted({code for rule in TABLE for code in rule.codes} - ENDING))
def test_no_rule_makes_an_end_of_what_proves_none(code: int) -> None:
    rule = _rule(code, RuleClass.DEFINITE_REJECT, certain=True)
    with pytest.raises(SettingsError, match=f"{code} cannot end an order"):
        table_with([rule])
    # Even a table that was put together by hand, past that check, cannot do it.
    (added,) = table_with([rule], table=())
    for verb in Verb:
        for link in LinkState:
            own = classify(code, "pacing", verb, link=link)
            verdict = classify(code, "pacing", verb, link=link, table=(added, *TABLE))
            assert verdict == own
            assert own.error_class is not C.DEFINITE_REJECT


@pytest.mark.parametrize("code", sorted(ENDING))
def test_a_rule_ends_by_a_code_of_the_table_only_what_the_table_ends_by_it(code: int) -> None:
    rule = _rule(code, RuleClass.DEFINITE_REJECT, certain=True)
    table = table_with([rule])
    for verb in Verb:
        own, verdict = classify(code, "", verb), classify(code, "", verb, table=table)
        if own.error_class in NO_PROOF:
            assert verdict == own
        else:
            assert verdict.error_class is C.DEFINITE_REJECT
            assert verdict.evidence_needed is own.evidence_needed


@pytest.mark.parametrize("code", [399, 165, 10148, 354, 10197, 420, 162])
def test_no_rule_ends_a_live_order_by_a_code_that_proves_no_end(tmp_path: Path, code: int) -> None:
    (added,) = table_with([_rule(code, RuleClass.DEFINITE_REJECT, certain=True)], ())

    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            desk.orders._parts.notices._table = (added, *TABLE)
            desk.broker.mode = "silent"
            ticket = await desk.orders.submit(buy("one"))
            await desk.settle()
            identity = desk.orders._live("one").identities()[0]
            notice = BrokerNotice("fake", code, "pacing", identity, identity.order_id)
            desk.broker.say(notice)
            await desk.settle()
            assert not ticket.state.is_terminal

    run(scenario())


@pytest.mark.parametrize("error_class", list(RuleClass))
def test_a_rule_never_takes_the_question_for_evidence_away(error_class: RuleClass) -> None:
    for own in TABLE:
        for code in own.codes:
            (added,) = table_with(
                [_rule(code, error_class, certain=error_class is RuleClass.DEFINITE_REJECT)], ()
            )
            for verb in (*Verb, None):
                before = classify(code, "", verb)
                after = classify(code, "", verb, table=(added, *TABLE))
                assert after.evidence_needed >= before.evidence_needed


def test_each_class_that_a_rule_may_name_has_its_action_and_asks_unless_it_proves_nothing() -> None:
    by_class = {
        RuleClass.INFO: (C.INFO, Action.LOG, False),
        RuleClass.DEFINITE_REJECT: (C.DEFINITE_REJECT, Action.TERMINAL, False),
        RuleClass.COMMAND_REJECT: (C.COMMAND_REJECT, Action.KEEP_STATE, True),
        RuleClass.HELD: (C.HELD, Action.HOLD, True),
        RuleClass.NOT_FOUND: (C.NOT_FOUND, Action.PROVE, True),
        RuleClass.AMBIGUOUS: (C.AMBIGUOUS, Action.UNKNOWN, True),
        RuleClass.PACING: (C.PACING, Action.BACK_OFF, True),
        RuleClass.STREAM: (C.STREAM, Action.STREAM_REFUSED, False),
    }
    assert set(by_class) == set(RuleClass)
    for error_class, outcome in by_class.items():
        certain = error_class is RuleClass.DEFINITE_REJECT
        (added,) = table_with([_rule(31337, error_class, certain=certain)], ())
        assert added.outcome == Outcome(*outcome)


def test_a_certain_rule_is_refused_only_for_the_commands_that_it_shares_with_the_table() -> None:
    def own(*verbs: Verb | None) -> tuple[Rule, ...]:
        outcome = Outcome(C.AMBIGUOUS, Action.UNKNOWN, True)
        return (Rule((7,), outcome, frozenset(verbs) or None),)

    def certain(*verbs: RuleVerb) -> ErrorRule:
        return _rule(7, RuleClass.DEFINITE_REJECT, certain=True, verbs=verbs)

    table_with([certain(RuleVerb.PLACE)], own(Verb.CANCEL))
    table_with([certain(RuleVerb.PLACE)], own(Verb.CANCEL, None))
    for mine, theirs in (
        (certain(RuleVerb.PLACE), own(Verb.PLACE, Verb.CANCEL)),
        (certain(RuleVerb.PLACE), own()),
        (certain(), own(Verb.PLACE)),
        (certain(RuleVerb.NONE), own(None)),
    ):
        with pytest.raises(SettingsError, match="7 cannot end an order"):
            table_with([mine], theirs)


def test_no_action_sends_an_order_again() -> None:
    # A new action must be thought about here before a rule can name it.
    assert {action.value for action in Action} == {
        *("log", "terminal", "terminal_alarm", "keep_state", "hold", "prove", "unknown"),
        *("back_off", "gate", "reconcile", "reconcile_resubscribe", "reconnect", "resubscribe"),
        *("mark_data", "stream_refused", "gate_and_page", "deny"),
    }


GOOD = {"codes": [201], "error_class": "held", "reason": "by hand"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"code": [1]}, "code is not a setting; did you mean 'codes'"),
        ({"error_class": "heldd"}, "did you mean 'held'"),
        ({"error_class": "link"}, "must be one of"),
        ({"verbs": ["plase"]}, "did you mean 'place'"),
        ({"states": ["HOLD"]}, "did you mean 'HELD'"),
        ({"codes": ["201"]}, "must be a whole number"),
        ({"codes": []}, "at least one"),
        ({"reason": " "}, "say where"),
        ({"pattern": "("}, "pattern"),
        ({"error_class": "definite_reject"}, "belong together"),
        ({"certain": True}, "belong together"),
        ({"certain": "true"}, "must be true or false"),
    ],
)
def test_a_rule_of_the_settings_is_read_strictly(change: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as told:
        Settings.load({"orders": {"errors": [GOOD, {**GOOD, **change}]}})
    assert message in str(told.value)
    assert "[[orders.errors]] number 2" in str(told.value)


def test_a_rule_without_its_reason_or_that_is_no_table_is_refused() -> None:
    with pytest.raises(SettingsError, match="reason is missing"):
        Settings.load({"orders": {"errors": [{"codes": [1], "error_class": "info"}]}})
    with pytest.raises(SettingsError, match="must be a table"):
        Settings.load({"orders": {"errors": [201]}})


def test_the_order_path_obeys_a_rule_and_writes_down_why(tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = OrdersSettings(
            stages=(),
            settle_seconds=0.0,
            errors=(_rule(31337, RuleClass.DEFINITE_REJECT, certain=True),),
        )
        async with floor(tmp_path, settings=settings) as desk:
            desk.broker.mode = "silent"
            await desk.orders.submit(buy("one"))
            await desk.settle()
            (order,) = desk.broker.orders.values()
            desk.broker.say(BrokerNotice("fake", 31337, "no such day", order.identity, 1))
            assert desk.orders.get("one").state is OrderState.REJECTED
        with JournalReader(tmp_path / "journal.db") as reader:
            (notice,) = [each for each in reader.story("one") if each.kind == "notice"]
        assert notice.body["rule"] == "our broker says so"

    run(scenario())


def test_brokers_are_opened_with_the_table_of_the_settings(tmp_path: Path) -> None:
    config = tmp_path / "alluse.toml"
    config.write_text(
        '[brokers.main]\nprovider = "fake"\n[orders]\nstages = []\n'
        '[[orders.errors]]\ncodes = [201]\ntext = "approved"\nerror_class = "held"\n'
        'reason = "large orders wait"\n'
    )
    opened: list[Context] = []

    class Plugin:
        @hookimpl
        def alluse_brokers(self) -> list[Provider[Broker]]:
            return [Provider("fake", self.open)]

        def open(self, context: Context) -> Broker:
            opened.append(context)
            return FakeBroker(context.evidence, name=context.name, clock=context.clock)

    async def scenario() -> None:
        async with alluse.open(config, plugins=[Plugin()], state=tmp_path / "state"):
            (context,) = opened
            waits = context.classify(201, "to be approved", Verb.PLACE)
            assert waits.error_class is ErrorClass.HELD
            assert context.classify(201, "margin", Verb.PLACE) == classify(201, "", Verb.PLACE)

    run(scenario())


def test_a_context_without_a_table_asks_for_evidence_about_every_code() -> None:
    context = make_context()
    assert context.classify(201, "", Verb.PLACE) == classify(201, "", Verb.PLACE)
    blank = attrs.evolve(context, classify=attrs.fields(Context).classify.default)
    assert blank.classify(201, "", Verb.PLACE) == classify(31337)


# --- the commands ---------------------------------------------------------------------------------


def test_classify_names_the_rule_and_the_reasons(tmp_path: Path) -> None:
    config = tmp_path / "alluse.toml"
    config.write_text(
        '[[orders.errors]]\ncodes = [201]\ntext = "approved"\nerror_class = "held"\n'
        'reason = "large orders wait"\n'
    )
    told = CliRunner().invoke(
        orders_classify, ["201", "to be approved", "--config", str(config), "--json"]
    )
    assert told.exit_code == 0, told.output
    facts = json.loads(told.output)
    assert (facts["class"], facts["decided_by"]) == ("held", "a rule of the settings")
    assert facts["reasons"] == ["large orders wait"]
    plain = CliRunner().invoke(
        orders_classify, ["201", "--state", "filled", "--config", str(config)]
    )
    assert "command_reject" in plain.output
    assert "an order that is FILLED cannot be refused any more" in plain.output
    unknown = CliRunner().invoke(orders_classify, ["31337", "--verb", "none"])
    assert "decided by no rule" in unknown.output


def test_unclassified_codes_are_counted_and_listed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path) as desk:
            await desk.orders.submit(buy("one"))
            await desk.settle()
            (order,) = desk.broker.orders.values()
            for text in ("first", "second"):
                desk.broker.say(BrokerNotice("fake", 31337, text, order.identity, 1))
                await desk.settle(1)
            desk.broker.say(BrokerNotice("fake", 31338, "of nothing", None, -1))
            desk.broker.say(BrokerNotice("fake", 2104, "farm OK", None, -1))
            await desk.settle(1)
            assert desk.count("errors", error_class="unclassified") == 3

    run(scenario())
    told = CliRunner().invoke(orders_unclassified, ["--out", str(tmp_path), "--json"])
    assert told.exit_code == 0, told.output
    rows = json.loads(told.output)
    assert [(row["code"], row["times"], row["about_orders"], row["text"]) for row in rows] == [
        (31337, 2, 2, "second"),
        (31338, 1, 0, "of nothing"),
    ]
    table = CliRunner().invoke(orders_unclassified, ["--out", str(tmp_path)])
    assert "31337" in table.output


def test_a_rule_that_cannot_be_is_named_by_its_place_in_the_settings() -> None:
    good = _rule(201, text="being approved")
    bad = _rule(1100, RuleClass.DEFINITE_REJECT, certain=True)
    for place in (1, 2):
        with pytest.raises(SettingsError, match=rf"\[\[orders.errors\]\] number {place}: 1100"):
            table_with([*[good] * (place - 1), bad, good])
