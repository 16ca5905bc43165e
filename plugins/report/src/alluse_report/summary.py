"""The summary: sentences computed from facts, what is wrong first."""

from __future__ import annotations

import math
from collections.abc import Iterator

from alluse_core.analysis.grade import COMPLETE_ENOUGH, LETTERS, Grade, Measured
from alluse_report.facts import Facts, Sentence
from alluse_report.labels import Labels

_TITLES = {
    "availability": "Availability of the order link",
    "errors": "Order errors",
    "latency": "Acknowledgement latency",
    "freshness_throughput": "Answered quote reads",
    "resources": "Processor and memory within limits",
    "completeness": "Completeness of samples",
}

# A word of the cap, the fact that it counts, and how to call it.
_CAPPING = {
    "critical": ("alerts.critical", "Critical alerts"),
    "risk": ("alerts.breaches", "Risk breaches"),
    "UNKNOWN": ("orders.unknown", "UNKNOWN orders"),
    "position": ("alerts.mismatches", "Position mismatches"),
}
_WORTH_TELLING = 0.05


def sentences(facts: Facts, grade: Grade) -> list[Sentence]:
    """Return the summary's sentences."""
    return [
        *_headline(facts, grade),
        *_wrong(facts),
        *_trading(facts),
        *_data(facts),
        *_broker(facts),
        *_analysis(facts),
    ]


def _headline(facts: Facts, grade: Grade) -> Iterator[Sentence]:
    yield _meaning(facts, grade)
    if not grade.incomplete:
        yield from _caps(facts, grade)
    quiet = [part for part in grade.parts if part.measured is Measured.TOO_QUIET]
    if quiet:
        names = ", ".join(_TITLES[part.name].lower() for part in quiet)
        yield facts.sentence(
            f"Too quiet to measure: {names}; [grade.redistributed:g] of 100 points went to the"
            " other parts."
        )
    missing = [part for part in grade.parts if part.measured is Measured.MISSING]
    for part in missing:
        yield facts.sentence(
            f"{_TITLES[part.name]} should have been measured and was not:"
            f" [grade.{part.name}.lost:.1f] points lost."
        )


def _meaning(facts: Facts, grade: Grade) -> Sentence:
    """Return the line that says what the grade means and what cost most."""
    if grade.incomplete:
        return facts.sentence(
            f"Grade: incomplete: [session.completeness:.1f] of the samples are there,"
            f" {COMPLETE_ENOUGH:.0%} are needed for a letter."
        )
    text = "Grade [grade.letter]: [grade.points:.1f] of 100 points for a session with "
    text += "[alerts.fired] alerts" if facts.value("alerts.fired") != 1 else "[alerts.fired] alert"
    lost = [part for part in grade.parts if part.lost >= _WORTH_TELLING]
    if not lost:
        return facts.sentence(f"{text}; no part lost a point.")
    worst = max(lost, key=lambda part: part.lost)
    at = f"grade.{worst.name}"
    text += f"; most was lost by {_TITLES[worst.name].lower()}: [{at}.lost:.1f] points"
    if worst.measured is Measured.YES:
        text += f" ([{at}.raw:.4g], target [{at}.target:g])"
    return facts.sentence(f"{text}.")


def _caps(facts: Facts, grade: Grade) -> Iterator[Sentence]:
    """Say what holds the letter down; a letter that the points alone give needs no cap."""
    earned = next(letter for letter, least in LETTERS if grade.points >= least)
    for cap in grade.caps:
        letter = cap.rsplit(" ", 1)[-1]
        if letter <= earned:
            continue
        word = next(word for word in _CAPPING if word in cap)
        fact, noun = _CAPPING[word]
        yield facts.sentence(
            f"{noun}: [{fact}]; whatever the points, the grade is at most {letter}."
        )


def _wrong(facts: Facts) -> Iterator[Sentence]:
    if facts.value("alerts.fired") == 0:
        yield facts.sentence("[alerts.fired] alerts fired.")
        return
    yield facts.sentence(
        "Alerts: [alerts.fired] fired, [alerts.critical] of them critical, [alerts.resolved]"
        " resolved, [alerts.firing] still firing."
    )
    number = 1
    while f"alert.{number}.rule" in facts:
        at = f"alert.{number}"
        measured = f"value [{at}.fired_value], threshold [{at}.fired_threshold]"
        if facts.value(f"{at}.value") != facts.value(f"{at}.fired_value"):
            measured += f", last bad value [{at}.value]"
        if facts.known(f"{at}.peak"):
            measured += f", worst sample of [{at}.peak_metric] [{at}.peak]"
        took = f"resolved after [{at}.seconds:.0f]"
        still = "it has not resolved"
        yield facts.sentence(
            f"[{at}.rule] ([{at}.severity]) fired at [{at}.fired_at:clock]: {measured};"
            f" {took if facts.known(f'{at}.seconds') else still}."
        )
        number += 1
    yield from _meanwhile(facts)


def _meanwhile(facts: Facts) -> Iterator[Sentence]:
    number = 1
    while f"incident.{number}.rules" in facts:
        at = f"incident.{number}"
        until = f"[{at}.ended:clock]" if facts.known(f"{at}.ended") else "the end of the session"
        text = f"Meanwhile, [{at}.began:clock] to {until}:"
        if facts.known(f"{at}.submitted"):
            text += (
                f" orders submitted [{at}.submitted], acknowledged [{at}.acknowledged], rejected"
                f" [{at}.rejected], denied [{at}.denied], UNKNOWN [{at}.unknown];"
            )
        yield facts.sentence(
            f"{text} link up in [{at}.link_up_samples] of [{at}.link_samples] samples."
            if facts.known(f"{at}.link_samples")
            else f"{text} the link's state was [{at}.link_samples]."
        )
        number += 1


def _trading(facts: Facts) -> Iterator[Sentence]:
    if not facts.known("orders.total"):
        yield facts.sentence("No order journal was found: orders are [orders.total].")
        return
    if facts.value("orders.total") == 0:
        yield facts.sentence("[orders.total] orders were placed.")
        return
    yield facts.sentence(
        "[orders.total] orders: [orders.submitted] submitted, [orders.acknowledged] acknowledged,"
        " [orders.filled] filled, [orders.canceled] canceled, [orders.rejected] rejected,"
        " [orders.denied] denied by our own controls, [orders.unknown] UNKNOWN,"
        " [orders.not_ended] not ended."
    )
    if facts.known("orders.error_rate"):
        yield facts.sentence(
            "[orders.error_rate:.2f] of submitted orders were rejected or are UNKNOWN."
        )
    if facts.known("orders.latency_p50"):
        yield facts.sentence(
            "Submit to acknowledgement, waiting for the pacer excluded: p50 at most"
            " [orders.latency_p50:.1f], p90 [orders.latency_p90:.1f], p99"
            " [orders.latency_p99:.1f], max [orders.latency_max:.1f] over [orders.latency_count]"
            " orders."
        )
    elif facts.known("orders.journaled_p50"):
        yield facts.sentence(
            "Submit to acknowledgement without the pacer's wait: [orders.latency_p50]."
        )
    if facts.known("orders.pacing_wait_max", "orders.journaled_p50"):
        yield facts.sentence(
            "The longest wait for the pacer was [orders.pacing_wait_max:.1f]; with it, submit to"
            " acknowledgement took p50 [orders.journaled_p50:.1f], p99 [orders.journaled_p99:.1f]"
            " by the journal."
        )
    if facts.known("orders.submit_to_wire_p99", "orders.wire_to_ack_p99"):
        yield facts.sentence(
            "By part: p99 at most [orders.submit_to_wire_p99:.1f] to the wire and"
            " [orders.wire_to_ack_p99:.1f] from there to the acknowledgement."
        )


def _data(facts: Facts) -> Iterator[Sentence]:
    if facts.known("market_data.reads_served"):
        yield facts.sentence(
            "[market_data.reads_served] reads were answered with a quote"
            " ([market_data.reads_per_second:.1f]), [market_data.quotes_unavailable] waited for one"
            " and got none."
        )
    if facts.known("market_data.hit_rate"):
        yield facts.sentence("[market_data.hit_rate:.1f] of reads that asked the cache hit it.")


def _broker(facts: Facts) -> Iterator[Sentence]:
    yield facts.sentence(
        "The order link was up in [broker.availability:.2f] of [broker.link_samples] samples."
        if facts.known("broker.availability")
        else "The state of the order link: [broker.availability]."
    )
    if facts.known("broker.pacing_headroom_min"):
        yield facts.sentence(
            "At the busiest moment [broker.pacing_headroom_min:.0f] of the broker's message limit"
            " were left."
        )
    if facts.known("broker.messages_busiest_tick"):
        yield facts.sentence(
            "The busiest tick sent [broker.messages_busiest_tick] messages in"
            " [broker.messages_busiest_tick_seconds:.2f] on one connection; most in any sliding"
            " second: [broker.messages_sliding_second_max]."
        )
    if facts.known("resources.memory_usage_mb_max", "resources.cpu_percent_mean"):
        yield facts.sentence(
            "Memory peaked at [resources.memory_usage_mb_max:.0f]; the host's processors were busy"
            " [resources.cpu_percent_mean:.0f] on average."
        )


def _analysis(facts: Facts) -> Iterator[Sentence]:
    if facts.value("analysis.findings") == 0:
        yield facts.sentence("Analysis brought [analysis.findings] findings.")
        return
    yield facts.sentence(
        "Trends: [trends.rising] rising, [trends.falling] falling, [trends.no_trend] that could be"
        " chance, [trends.too_short_to_tell] too short to tell."
    )
    if facts.known("anomalies.metrics"):
        yield facts.sentence(
            "[anomalies.anomalous_metrics] of [anomalies.metrics] metrics had anomalies, at most"
            " [anomalies.rate_max:.1f] of them at once."
        )
    else:
        yield facts.sentence("Anomalies: too short to tell ([session.ticks] ticks).")
    yield facts.sentence(
        "[forecasts.forecast] forecasts were made, [forecasts.calibrated] of them calibrated by"
        " their own past ([analysis.profile] profile)."
        if facts.known("analysis.profile")
        else "[forecasts.forecast] forecasts were made."
    )


def markdown(facts: Facts, grade: Grade, told: list[Sentence], labels: Labels) -> str:
    """Return summary.md: labels, the sentences with their facts, and the grade's parts."""
    lines = [
        "# Session summary",
        "",
        f"**{labels.mode}** · {labels.profile} profile · {labels.provenance}",
        "",
        f"{shown_span(facts)}",
        "",
    ]
    for sentence in told:
        references = ", ".join(f"`{name}`" for name in sentence.facts)
        lines.append(f"- {sentence.text} <sub>{references}</sub>")
    lines += [
        "",
        f"## Grade, weights version {grade.version}",
        "",
        "| part | raw | 95 % interval | target | points | lost | |",
        "|---|---|---|---|---|---|---|",
    ]
    for part in grade.parts:
        raw, low, high = (_cell(value) for value in (part.raw, part.low, part.high))
        note = "" if part.measured is Measured.YES else part.measured.value
        lines.append(
            f"| {_TITLES[part.name]} | {raw} {part.unit} | {low} to {high} | {part.target:g}"
            f" {part.unit} | {part.points:.1f} of {part.weight:.1f} | {part.lost:.1f} | {note} |"
        )
    lines += [
        "",
        *_definitions(facts),
        "",
        "The numbers behind each sentence are in `report.json` under `facts`.",
        "",
    ]
    return "\n".join(lines)


def _definitions(facts: Facts) -> list[str]:
    """Return where the numbers of timing come from, for whoever wonders what they count."""
    names = ("orders.latency_p99", "orders.journaled_p99", "orders.pacing_wait_max")
    return [f"- `{name}`: {facts[name].source}" for name in names if facts.known(name)]


def shown_span(facts: Facts) -> str:
    """Return the session's span in words."""
    return facts.sentence(
        "From [session.start:second] to [session.end:clock]: [session.seconds:.0f],"
        " [session.ticks] ticks, [session.series] series."
    ).text


def _cell(value: float) -> str:
    return "not measured" if math.isnan(value) else f"{value:.4g}"
