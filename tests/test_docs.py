"""The reference is what the code says now, and no page leads nowhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
GENERATOR = ROOT / "docs" / "generate.py"
PAGES = ("commands", "error-codes", "errors", "gateway-ledger", "hooks", "settings")
WRITTEN = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/*.md")])


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_of_the_generator_is_compared_here(generate: ModuleType) -> None:
    assert sorted(generate.PAGES) == list(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_what_the_code_says(name: str, generate: ModuleType) -> None:
    committed = generate.REFERENCE / f"{name}.md"
    assert committed.is_file(), f"{committed.name} is missing: run 'make docs'"
    assert committed.read_text("utf-8") == generate.page(name), "stale: run 'make docs'"


def test_the_generator_writes_where_it_is_told(tmp_path: Path) -> None:
    command = [sys.executable, str(GENERATOR), "--out", str(tmp_path), "hooks", "errors"]
    subprocess.run(command, check=True, cwd=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["errors.md", "hooks.md"]


def test_the_generator_refuses_a_page_it_does_not_know() -> None:
    command = [sys.executable, str(GENERATOR), "hoks"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert "'hoks' is none of" in finished.stderr


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_pages_leads_to_a_file(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        targets = re.findall(r"\]\(([^)#\s:]+)[^)]*\)", text)
        waiting += [(page.parent / target).resolve() for target in targets]
    pages = {
        *(ROOT / "docs" / "how-to").glob("*.md"),
        *(ROOT / "docs" / "explanation").glob("*.md"),
    }
    assert pages - reached == set()


def test_the_page_of_the_order_path_has_each_file_of_it_once() -> None:
    text = (ROOT / "docs" / "explanation" / "order-path.md").read_text("utf-8")
    listed = sorted(
        name
        for row in text.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+\.py)`", row.split(" | ")[0])
    )
    files = {path.name for path in (ROOT / "alluse_core" / "orders").glob("*.py")}
    assert listed == sorted(files - {"__init__.py"}), "a new file wants its row in order-path.md"
    assert set(re.findall(r"\w+\.py", text)) <= files


def test_every_promise_names_tests_that_are_there() -> None:
    text = (ROOT / "docs" / "explanation" / "promises.md").read_text("utf-8")
    named = set(re.findall(r"`((?:tests|plugins)/[\w./-]+)`", text))
    assert len(named) > 15
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    by_name = re.findall(r"`((?:tests|plugins)/[\w./-]+)::(\w+)`", text)
    assert len(by_name) > 15
    for path, test in by_name:
        assert f"def {test}(" in (ROOT / path).read_text("utf-8"), f"{path} has no {test}"
    rows = [line for line in text.splitlines() if line.startswith("| ") and "| tests |" not in line]
    assert [row for row in rows if "`tests/" not in row and "`plugins/" not in row] == []
