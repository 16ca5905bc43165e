"""The report says what the two databases hold, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import re
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from alluse_report.cli import report as command
from alluse_report.document import schema
from alluse_report.facts import Facts
from alluse_report.picture import compose
from alluse_report.reporter import SessionReport, account
from click.testing import CliRunner
from matplotlib.text import Text

from alluse_core.errors import StateError, StoreError
from alluse_core.ports import ReportRequest


def sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


second = sibling("second_path")


def write(folder: Path) -> dict[str, Any]:
    request = ReportRequest(folder, folder / "metrics.db", folder / "journal.db", {"a.b": 1})
    names = [path.name for path in SessionReport().write(request)]
    assert names == ["dashboard.png", "report.json", "summary.json", "summary.md"]
    return json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize("case", ["incident", "unknown", "incomplete"])
def test_every_number_can_be_recomputed_from_the_two_databases(
    make: Any, made: Any, case: str
) -> None:
    wanted = {
        "incident": made(),
        "unknown": made(incident=False, unknown=2, seed=8),
        "incomplete": made(gaps=40, seed=9),
    }[case]
    folder = make(wanted)
    report = write(folder)
    expected, found = second.recomputed(folder)
    told = report["facts"]
    # Intervals are Wilson's, held by the tests of the grade; counts of samples follow from the raw.
    derived = re.compile(r"grade\.\w+\.(low|high|samples)|grade\.weights_version")
    assert {name for name in told if not derived.fullmatch(name)} == {
        name for name in expected if not name.startswith("_")
    }
    for name, fact in told.items():
        if derived.fullmatch(name):
            continue
        value = expected[name]
        if isinstance(value, float):
            assert fact["value"] == pytest.approx(value, rel=1e-6, abs=1e-6), name
        else:
            assert fact["value"] == value, name
    _charts_show_what_is_stored(report, found)


_READS, _MEMORY = "market_data.reads_per_second", "resources.memory_usage_mb_max"


def _charts_show_what_is_stored(report: dict[str, Any], found: Any) -> None:
    shown = {chart["title"]: chart["lines"] for chart in report["charts"]}
    for title, line, series, fact in (
        ("Trading", 0, ("trading_system", "latency_ms"), "orders.latency_p50"),
        ("Trading", 1, ("trading_system", "throughput_ops_sec"), "orders.submitted"),
        ("Market data", 0, ("market_data_system", "throughput_ops_sec"), _READS),
        ("Market data", 1, ("market_data_system", "cache_hit_rate"), "market_data.hit_rate"),
        ("Resources", 0, ("system_resources", "cpu_percent"), "resources.cpu_percent_mean"),
        ("Resources", 1, ("system_resources", "memory_usage_mb"), _MEMORY),
    ):
        stored = second.of(found, *series)[0]
        assert shown[title][line]["shown"] == report["facts"][fact]["value"]
        assert shown[title][line]["samples"] == len(stored)


def test_the_report_follows_its_published_schema(make: Any, made: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    report = write(make(made()))
    jsonschema.validate(report, schema(), cls=jsonschema.Draft202012Validator)
    assert len(report["charts"]) == 7
    assert report["settings"] == {"a.b": 1}


def test_every_number_in_a_sentence_is_one_of_its_facts(make: Any, made: Any) -> None:
    folder = make(made(unknown=1))
    write(folder)
    told = json.loads((folder / "summary.json").read_text())
    assert told["sentences"]
    for sentence in told["sentences"]:
        values = [told["facts"][name]["value"] for name in sentence["facts"]]
        text = sentence["text"]
        for word in (str(value) for value in values if isinstance(value, str)):
            # A time is shown as its time of day.
            text = text.replace(word, "").replace(word[11:19] or word, "")
        # Names of percentiles, the size of the scale and a unit are words, not measurements.
        text = re.sub(r"\bp(50|90|99)\b|of 100 points|1/s", "", text)
        for number in re.findall(r"(?<![\w.])[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?", text):
            digits = len(number.partition(".")[2])
            assert any(
                isinstance(value, int | float) and abs(value - float(number)) <= 0.51 * 10**-digits
                for value in values
            ), (number, sentence)


def test_a_dull_session_gets_a_dull_summary(make: Any, made: Any) -> None:
    folder = make(made(seconds=60, orders=3, incident=False))
    report = write(folder)
    text = " ".join(sentence["text"] for sentence in report["summary"])
    assert "0 alerts fired" in text
    assert "Too quiet to measure: order errors, acknowledgement latency" in text
    assert "too short to tell" in text
    assert not re.search(r"excellent|great|outstanding|success", text, re.I)


def test_what_nothing_measured_is_said_and_never_full_marks(make: Any, made: Any) -> None:
    folder = make(made(seconds=5, analyse=False, journal=False, incident=False))
    report = write(folder)
    jsonschema.validate(report, schema(), cls=jsonschema.Draft202012Validator)
    assert report["facts"]["orders.total"]["value"] is None
    errors = next(part for part in report["grade"]["parts"] if part["name"] == "errors")
    assert (errors["measured"], errors["points"]) == ("not measured", 0)
    assert report["labels"]["mode"] == "UNKNOWN"
    grey = [chart["title"] for chart in report["charts"] if not chart["lines"]]
    assert grey == ["Trends", "Anomalies", "Forecast"]


def test_labels_name_the_profile_the_accounts_and_what_was_never_tried(
    make: Any, made: Any
) -> None:
    folder = make(made(seconds=60))
    write(folder)
    page = (folder / "summary.md").read_text()
    assert "**PAPER** · demo profile · never run against IBKR" in page
    assert "weights version 1" in page


@pytest.mark.parametrize("case", ["incident", "quiet", "many alerts"])
def test_no_text_of_the_picture_overlaps_another_or_is_cut_off(
    make: Any, made: Any, case: str
) -> None:
    wanted = {
        "incident": made(unknown=3),
        "quiet": made(seconds=4, analyse=False, journal=False, incident=False),
        "many alerts": made(seconds=150, alerts=12),
    }[case]
    folder = make(wanted)
    told = account(folder / "metrics.db", folder / "journal.db")
    figure, drawn = compose(told.session, told.facts, told.grade, told.labels, told.told[0].text)
    assert len(drawn) == 7
    figure.canvas.draw()
    boxes = _texts(figure)
    assert len(boxes) > 40 or case == "quiet"
    width, height = figure.canvas.get_width_height()
    assert width == 1920
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= width, text
        assert box.y1 <= height, text
    for (one, first), (other, second_box) in combinations(boxes, 2):
        # Boxes of neighbouring lines may touch; a shared strip of two pixels is no overlap.
        across = min(first.x1, second_box.x1) - max(first.x0, second_box.x0)
        down = min(first.y1, second_box.y1) - max(first.y0, second_box.y0)
        assert across <= 2 or down <= 2, (one, other)


def _texts(figure: Any) -> list[tuple[str, Any]]:
    hidden = set()
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            slack = 1e-9 * abs(high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - slack <= tick.get_loc() <= high + slack:
                    hidden |= {id(tick.label1), id(tick.label2)}
    shown = [
        text
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible() and id(text) not in hidden
    ]
    return [(text.get_text(), text.get_window_extent()) for text in shown]


def test_the_command_writes_the_files_and_prints_the_summary(make: Any, made: Any) -> None:
    folder = make(made(seconds=60))
    result = CliRunner().invoke(command, ["--out", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["sentences"][0]["text"].startswith("Grade")
    plain = CliRunner().invoke(command, ["--out", str(folder)])
    assert plain.stdout.startswith("Grade")


def test_a_folder_without_a_store_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no metric store"):
        SessionReport().write(
            ReportRequest(tmp_path, tmp_path / "metrics.db", tmp_path / "journal.db", {})
        )


def test_a_fact_is_stated_once_and_nan_reads_not_measured() -> None:
    facts = Facts()
    facts.state("a", float("nan"), "ms", "nowhere")
    assert facts.sentence("It took [a].").text == "It took not measured."
    with pytest.raises(ValueError, match="stated twice"):
        facts.state("a", 1, "", "nowhere")


def test_the_published_schema_is_the_one_in_the_package() -> None:
    docs = Path(__file__).resolve().parents[3] / "docs" / "reference" / "report.schema.json"
    assert json.loads(docs.read_text()) == schema()


def test_the_databases_may_lie_elsewhere(make: Any, made: Any, tmp_path: Path) -> None:
    folder = make(made(seconds=60))
    out = tmp_path / "elsewhere"
    result = CliRunner().invoke(command, ["--state", str(folder), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert (out / "dashboard.png").is_file()


def test_a_folder_that_cannot_be_written_is_one_clear_error(make: Any, made: Any) -> None:
    folder = make(made(seconds=5, analyse=False, journal=False, incident=False))
    taken = folder / "taken"
    taken.write_text("a file")
    request = ReportRequest(taken, folder / "metrics.db", folder / "journal.db", {})
    with pytest.raises(StateError, match="cannot be written"):
        SessionReport().write(request)
