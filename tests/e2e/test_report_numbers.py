"""A real session's report, recomputed from its databases by a path that shares no code with it."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

ALLUSE = str(Path(sys.executable).with_name("alluse"))
SECOND = Path(__file__).resolve().parents[2] / "plugins" / "report" / "tests" / "second_path.py"
# Intervals are Wilson's, held by the tests of the grade.
DERIVED = re.compile(r"grade\.\w+\.(low|high|samples)|grade\.weights_version")

pytestmark = pytest.mark.slow


def _second_path() -> ModuleType:
    spec = importlib.util.spec_from_file_location("second_path", SECOND)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _alluse(*args: str) -> None:
    finished = subprocess.run(
        [ALLUSE, *args], capture_output=True, text=True, check=False, timeout=280
    )
    assert finished.returncode == 0, finished.stderr[-4000:]


@attrs.frozen
class Reported:
    """The three documents of one report, and every fact as the second path has it.

    ``at_end`` is the report that the session itself wrote, while its databases still grew.
    """

    folder: Path
    at_end: dict[str, Any]
    report: dict[str, Any]
    summary: dict[str, Any]
    page: str
    expected: dict[str, Any]
    found: Any


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Trade a short session with a lost link, and report it once its databases are at rest."""
    out = tmp_path_factory.mktemp("session") / "out"
    _alluse("demo", "--seconds", "12", "--out", str(out), "--incident", "drop")
    again = out.with_name("again")
    _alluse("report", "--state", str(out), "--out", str(again))
    expected, found = _second_path().recomputed(out)
    return Reported(
        out,
        json.loads((out / "report.json").read_text("utf-8")),
        json.loads((again / "report.json").read_text("utf-8")),
        json.loads((again / "summary.json").read_text("utf-8")),
        (again / "summary.md").read_text("utf-8"),
        expected,
        found,
    )


def _same(told: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, fact in told.items():
        if DERIVED.fullmatch(name):
            continue
        value = expected[name]
        if isinstance(value, float):
            assert fact["value"] == pytest.approx(value, rel=1e-6, abs=1e-6), name
        else:
            assert fact["value"] == value, name


def test_every_fact_of_a_real_session_can_be_recomputed(reported: Reported) -> None:
    told = {name for name in reported.report["facts"] if not DERIVED.fullmatch(name)}
    assert told == {name for name in reported.expected if not name.startswith("_")}
    _same(reported.report["facts"], reported.expected)
    assert reported.report["facts"]["orders.total"]["value"] >= 75
    assert reported.report["facts"]["alerts.fired"]["value"] >= 1


def test_the_report_at_the_end_is_what_the_databases_held_at_that_moment(
    reported: Reported,
) -> None:
    told = reported.at_end["facts"]
    until = datetime.fromisoformat(told["session.end"]["value"]).timestamp()
    expected, _ = _second_path().recomputed(
        reported.folder, round(until * 1e6), told["session.journal_records"]["value"]
    )
    # Alerts and findings are rewritten as they develop: what they were is not kept.
    kept = ("session.", "orders.", "market_data.", "broker.", "resources.")
    _same({name: fact for name, fact in told.items() if name.startswith(kept)}, expected)


def test_the_summary_says_the_facts_of_the_report_and_no_others(reported: Reported) -> None:
    summary = reported.summary
    _same(summary["facts"], reported.expected)
    assert summary["sentences"] == reported.report["summary"]
    assert summary["grade"] == reported.report["grade"]


def test_every_number_on_the_page_is_one_of_the_facts(reported: Reported) -> None:
    for sentence in reported.summary["sentences"]:
        assert f"- {sentence['text']} <sub>" in reported.page
        values = [
            reported.expected[name] for name in sentence["facts"] if name in reported.expected
        ]
        text = sentence["text"]
        for word in (str(value) for value in values if isinstance(value, str)):
            text = text.replace(word, "").replace(word[11:19] or word, "")
        text = re.sub(r"\bp(50|90|99)\b|of 100 points", "", text)
        for number in re.findall(r"(?<![\w.])[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?", text):
            step = 10 ** -len(number.partition(".")[2])
            assert any(
                isinstance(value, int | float)
                and abs(value - float(number)) <= max(0.51 * step, 5.1e-4 * abs(value))
                for value in values
            ), (number, sentence)


def test_each_incident_is_what_the_databases_hold(reported: Reported) -> None:
    expected, told = reported.expected, reported.report["incidents"]
    assert len(told) == expected["incidents.count"] >= 1
    for number, incident in enumerate(told, start=1):
        at = f"incident.{number}"
        assert incident["began"] == expected[f"{at}.began"]
        assert incident["ended"] == expected[f"{at}.ended"]
        rules = ", ".join(dict.fromkeys(alert["rule"] for alert in incident["alerts"]))
        assert rules == expected[f"{at}.rules"]
        for name in ("submitted", "acknowledged", "rejected", "denied", "unknown"):
            assert incident["orders"][name] == expected[f"{at}.{name}"]
        assert incident["link"]["samples"] == (expected[f"{at}.link_samples"] or 0)
        assert incident["link"]["up_samples"] == (expected[f"{at}.link_up_samples"] or 0)


def test_each_chart_over_time_tells_the_figure_of_the_whole_session(reported: Reported) -> None:
    stored = {(c, m): line for (c, m, labels), line in reported.found.items() if labels == "[]"}
    shown = {chart["title"]: chart["lines"] for chart in reported.report["charts"]}
    reads, memory = "market_data.reads_per_second", "resources.memory_usage_mb_max"
    for title, line, series, fact in (
        ("Trading", 0, ("trading_system", "latency_ms"), "orders.latency_p50"),
        ("Trading", 1, ("trading_system", "throughput_ops_sec"), "orders.submitted"),
        ("Market data", 0, ("market_data_system", "throughput_ops_sec"), reads),
        ("Market data", 1, ("market_data_system", "cache_hit_rate"), "market_data.hit_rate"),
        ("Resources", 0, ("system_resources", "cpu_percent"), "resources.cpu_percent_mean"),
        ("Resources", 1, ("system_resources", "memory_usage_mb"), memory),
    ):
        assert shown[title][line]["shown"] == pytest.approx(reported.expected[fact], rel=1e-6)
        assert shown[title][line]["samples"] == len(stored[series])


def test_the_cache_hits_of_a_session_shorter_than_their_window_end_at_those_of_the_session(
    reported: Reported,
) -> None:
    stored = {(c, m): line for (c, m, labels), line in reported.found.items() if labels == "[]"}
    drawn = stored["market_data_system", "cache_hit_rate"]
    assert reported.expected["session.seconds"] < 55
    assert reported.expected["market_data.hit_rate"] < 99, "it misses before its first tick"
    assert drawn[-1][1] == pytest.approx(reported.expected["market_data.hit_rate"])
