"""Rules as data: a scripted timeline of readings in, a sequence of transitions out."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import pytest

from alluse_core.model import AlertState, Condition, Reading, Severity
from alluse_core.monitor.rows import alert_from_json, alert_to_json
from alluse_core.monitor.transitions import Episode, RuleTerms, fingerprint, restored, step

START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
WORDS = {
    "T": Condition.TRIP,
    "H": Condition.HOLD,
    "C": Condition.CLEAR,
    "-": Condition.NO_DATA,
}
SHORT = {
    AlertState.PENDING: "pending",
    AlertState.FIRING: "firing",
    AlertState.RESOLVED: "resolved",
    AlertState.INACTIVE: "inactive",
}


def play(
    timeline: str, hold_for: float, keep: float, gaps: dict[int, float] | None = None
) -> list[str]:
    """Play one reading a second; ``gaps`` maps a reading's index to the seconds before it."""
    terms = RuleTerms("rule", Severity.WARNING, "%", hold_for, keep, "")
    episode: Episode | None = None
    told = []
    at = 0.0
    for index, letter in enumerate(timeline):
        elapsed = (gaps or {}).get(index, 1.0) if index else 0.0
        at += elapsed
        if letter == "K":  # killed and restarted within this second
            episode = episode and restored(episode.alert, START + timedelta(seconds=at))
            continue
        reading = Reading(WORDS[letter], 1.0, 1.0, "text")
        result = step(episode, reading, terms, START + timedelta(seconds=at), elapsed)
        if result.kept is not None:
            assert result.episode is not None
            assert result.kept == result.episode.alert
        episode = result.episode
        told += [f"{at:g} {SHORT[alert.state]}" for alert in result.changes]
    return told


@pytest.mark.parametrize(
    ("timeline", "hold_for", "keep", "expected"),
    [
        # trips, holds, clears
        ("CCCC", 0, 0, []),
        ("HHHH", 0, 0, []),
        ("T", 0, 0, ["0 pending", "0 firing"]),
        ("TTC", 0, 0, ["0 pending", "0 firing", "2 resolved"]),
        ("TTTTC", 3, 0, ["0 pending", "3 firing", "4 resolved"]),
        ("TTC", 3, 0, ["0 pending", "2 inactive"]),
        ("TCTCTC", 1, 0, [f"{s} {w}" for s, w in enumerate(["pending", "inactive"] * 3)]),
        ("THHHHH", 0, 0, ["0 pending", "0 firing"]),
        ("THHHHHT", 3, 0, ["0 pending", "6 firing"]),
        ("THHHHHC", 3, 0, ["0 pending", "6 inactive"]),
        # keep_firing_for
        ("TCCCC", 0, 3, ["0 pending", "0 firing", "4 resolved"]),
        ("TCCTCCCC", 0, 3, ["0 pending", "0 firing", "7 resolved"]),
        ("TCCHCCCC", 0, 3, ["0 pending", "0 firing", "7 resolved"]),
        # no data keeps the state and stops both clocks
        ("----", 0, 0, []),
        ("T----T", 3, 0, ["0 pending"]),
        ("T----TTTT", 3, 0, ["0 pending", "8 firing"]),
        ("T---C", 3, 0, ["0 pending", "4 inactive"]),
        ("T---", 0, 0, ["0 pending", "0 firing"]),
        ("T---C", 0, 0, ["0 pending", "0 firing", "4 resolved"]),
        ("TC---CCC", 0, 3, ["0 pending", "0 firing"]),
        ("TC---CCCC", 0, 3, ["0 pending", "0 firing", "8 resolved"]),
        # two episodes of one subject
        ("TCT", 0, 0, ["0 pending", "0 firing", "1 resolved", "2 pending", "2 firing"]),
        # killed while pending, while firing, while clearing, while inactive
        ("TTKTT", 4, 0, ["0 pending", "4 firing"]),
        ("TTKC", 4, 0, ["0 pending", "3 inactive"]),
        ("TTK-TTT", 4, 0, ["0 pending", "6 firing"]),
        ("TKT", 0, 0, ["0 pending", "0 firing"]),
        ("TKC", 0, 0, ["0 pending", "0 firing", "2 resolved"]),
        ("TK-----C", 0, 0, ["0 pending", "0 firing", "7 resolved"]),
        ("TCKCC", 0, 3, ["0 pending", "0 firing", "4 resolved"]),
        ("TCKTCCCC", 0, 3, ["0 pending", "0 firing", "7 resolved"]),
        ("CKC", 0, 0, []),
    ],
)
def test_a_timeline_gives_its_transitions(
    timeline: str, hold_for: float, keep: float, expected: list[str]
) -> None:
    assert play(timeline, hold_for, keep) == expected


def test_durations_come_from_elapsed_time_and_not_from_the_number_of_readings() -> None:
    assert play("TT", 30, 0, gaps={1: 31.0}) == ["0 pending", "31 firing"]
    assert play("TTTT", 30, 0, gaps={1: 0.1, 2: 0.1, 3: 0.1}) == ["0 pending"]


def test_a_wall_clock_that_went_back_over_a_restart_counts_as_no_time() -> None:
    terms = RuleTerms("rule", Severity.WARNING, "%", 10.0, 0.0, "")
    trip = Reading(Condition.TRIP, 1.0, 1.0, "text")
    pending = step(None, trip, terms, START, 0.0).episode
    assert pending is not None
    again = restored(pending.alert, START - timedelta(hours=1))
    assert again is not None
    assert again.held == 0.0


def test_a_firing_alert_keeps_the_last_bad_value_and_gets_no_milder() -> None:
    terms = RuleTerms("rule", Severity.WARNING, "%", 0.0, 0.0, "")
    first = step(None, Reading(Condition.TRIP, 5.0, 1.0, "5"), terms, START, 0.0)
    worse = Reading(Condition.TRIP, 9.0, 1.0, "9", severity=Severity.CRITICAL)
    second = step(first.episode, worse, terms, START, 1.0)
    assert [a.severity for a in second.changes] == [Severity.CRITICAL]
    third = step(second.episode, Reading(Condition.TRIP, 6.0, 1.0, "6"), terms, START, 1.0)
    assert third.changes == ()
    last = step(third.episode, Reading(Condition.CLEAR, 0.0, 1.0, "0"), terms, START, 1.0)
    (ended,) = last.changes
    assert (ended.severity, ended.value, ended.text) == (Severity.CRITICAL, 6.0, "6")


def test_no_data_says_so_in_the_text_until_there_is_data() -> None:
    terms = RuleTerms("rule", Severity.WARNING, "%", 0.0, 0.0, "")
    trip = Reading(Condition.TRIP, 5.0, 1.0, "five")
    nothing = Reading(Condition.NO_DATA, float("nan"), 1.0, "")
    firing = step(None, trip, terms, START, 0.0).episode
    blind = step(firing, nothing, terms, START, 1.0).episode
    assert blind is not None
    assert blind.text == "five (no data since 14:30:00 UTC; state kept)"
    seeing = step(blind, trip, terms, START, 1.0).episode
    assert seeing is not None
    assert seeing.text == "five"


@pytest.mark.parametrize(
    ("severity", "hold_for", "expected"),
    [
        (Severity.WARNING, 0.0, AlertState.RESOLVED),
        (Severity.WARNING, 60.0, AlertState.INACTIVE),
        (Severity.CRITICAL, 60.0, AlertState.INACTIVE),
        (Severity.CRITICAL, 0.0, None),
    ],
)
def test_only_a_critical_alert_that_fires_outlasts_an_hour_without_data(
    severity: Severity, hold_for: float, expected: AlertState | None
) -> None:
    terms = RuleTerms("rule", severity, "%", hold_for, 0.0, "")
    nothing = Reading(Condition.NO_DATA, float("nan"), 1.0, "")
    episode = step(None, Reading(Condition.TRIP, 5.0, 1.0, "five"), terms, START, 0.0).episode
    ended = []
    for _ in range(3_700):
        result = step(episode, nothing, terms, START, 1.0)
        episode = result.episode
        ended += list(result.changes)
        if episode is None:
            break
    assert [alert.state for alert in ended] == ([] if expected is None else [expected])
    assert all("no data for 60 minutes" in alert.text for alert in ended)


def test_fingerprints_tell_rules_and_labels_apart() -> None:
    known = {
        fingerprint("a", ()),
        fingerprint("b", ()),
        fingerprint("a", (("x", "1"),)),
        fingerprint("a", (("x", "2"),)),
        fingerprint("a", (("x", "1"), ("y", "2"))),
    }
    assert len(known) == 5
    assert fingerprint("a", (("x", "1"),)) in known


def test_an_alert_keeps_the_reading_that_made_it_fire_beside_the_last_bad_one() -> None:
    terms = RuleTerms("rule", Severity.WARNING, "%", 2.0, 0.0, "")
    episode: Episode | None = None
    told = []
    values = (10.0, 20.0, 30.0, 90.0, 40.0, 1.0)
    for second, value in enumerate(values):
        if second == 4:  # killed and restarted: the store brings it back
            assert episode is not None
            kept = alert_from_json(json.loads(json.dumps(alert_to_json(episode.alert))))
            episode = restored(kept, START + timedelta(seconds=second))
        condition = Condition.TRIP if value > 5 else Condition.CLEAR
        reading = Reading(condition, value, 5.0 + second, f"{value}")
        result = step(episode, reading, terms, START + timedelta(seconds=second), 1.0)
        episode = result.episode
        told += list(result.changes)
    pending, firing, resolved = told
    assert math.isnan(pending.fired_value)
    assert math.isnan(pending.fired_threshold)
    assert (firing.value, firing.fired_value, firing.fired_threshold) == (30.0, 30.0, 7.0)
    assert (resolved.value, resolved.threshold, resolved.text) == (40.0, 9.0, "40.0")
    assert (resolved.fired_value, resolved.fired_threshold) == (30.0, 7.0)


def test_an_alert_of_a_store_that_did_not_tell_its_first_value_is_read_without_it() -> None:
    terms = RuleTerms("rule", Severity.WARNING, "%", 0.0, 0.0, "")
    reading = Reading(Condition.TRIP, 10.0, 5.0, "text")
    body = alert_to_json(step(None, reading, terms, START, 0.0).changes[-1])
    del body["fired_value"], body["fired_threshold"]
    alert = alert_from_json(body)
    assert alert.value == 10.0
    assert math.isnan(alert.fired_value)
