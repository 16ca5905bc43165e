"""The gate of the whole run: each branch of what decides about orders is taken by a test.

The tests named in ``covered_tests`` are traced while they run, for the modules that the ``include``
of ``covered_config`` names; a run of all of them that leaves a branch out fails. Tests of chance
and slow ones do not count: neither luck nor a long run may decide what is covered. A run of some
of the tests, by paths or by ``-k``, is not judged.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage

SELECTING = (
    *("keyword", "markexpr", "collectonly", "deselect", "ignore", "ignore_glob"),
    *("lf", "stepwise"),
)
"""Options with which some tests do not run."""
UNCOUNTED = ("hypothesis", "slow")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the names of what is covered and by which tests."""
    parser.addini("covered_tests", "tests that count for branch coverage", "paths", [])
    parser.addini("covered_config", "coverage's configuration for it", "paths", [])


@pytest.hookimpl(trylast=True)  # the session has its temporary folder by then
def pytest_configure(config: pytest.Config) -> None:
    """Trace in each process of a run of all the tests that count, and judge in the first."""
    given = getattr(config, "workerinput", {}).get("covered")
    if given is None and not hasattr(config, "workerinput") and _whole(config):
        given = tempfile.mkdtemp(prefix="alluse-branches-")
        config.pluginmanager.register(Verdict(config, Path(given)))
    if given is not None:
        config.pluginmanager.register(Tracing(config, Path(given)))


def _whole(config: pytest.Config) -> bool:
    """Whether all tests that count are among those that were asked for."""
    wanted: list[Path] = config.getini("covered_tests")
    asked = [(config.invocation_params.dir / argument).resolve() for argument in config.args]
    held = all(any(path.is_relative_to(each) for each in asked) for path in wanted)
    return bool(wanted) and held and not any(config.getoption(each, None) for each in SELECTING)


def _measured(config: pytest.Config, folder: Path) -> Coverage:
    (rules,) = config.getini("covered_config")
    return Coverage(config_file=str(rules), data_file=str(folder / "data"), data_suffix=True)


class Tracing:
    """Traces the tests that count, in the process that runs them, and leaves the data in a folder.

    Tests of one kind follow each other, so that the tracer is rarely changed.
    """

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._tests: list[Path] = config.getini("covered_tests")
        self._coverage = _measured(config, folder)
        self._traces = False
        self._traced = False

    def _counts(self, item: pytest.Item | None) -> bool:
        if item is None or any(map(item.get_closest_marker, UNCOUNTED)):
            return False
        return any(item.path.is_relative_to(each) for each in self._tests)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, Any, Any]:
        """Trace a test that counts, with its fixtures."""
        if not self._traces and self._counts(item):
            self._coverage.start()
            self._traces = self._traced = True
        elif self._traces and not self._counts(item):
            self._stop()
        try:
            return (yield)
        finally:
            if nextitem is None:
                self._stop()

    def _stop(self) -> None:
        if self._traces:
            self._coverage.stop()
            self._traces = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Write down which branches were taken."""
        self._stop()
        if self._traced:
            self._coverage.save()


class Verdict:
    """Fails the run that left a branch out, and names it."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._report = ""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where the data go."""
        node.workerinput["covered"] = str(self._folder)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Judge what all processes left, where no test failed."""
        if session.exitstatus == pytest.ExitCode.OK:
            self._report = self._missing()
            if self._report:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        shutil.rmtree(self._folder, ignore_errors=True)

    def _missing(self) -> str:
        (rules,) = self._config.getini("covered_config")
        # What runs at import ran before the first test: it is looked at in a fresh process.
        imported = subprocess.run(
            [sys.executable, "-m", "coverage", "run", f"--rcfile={rules}", __file__, str(rules)],
            env={**os.environ, "COVERAGE_FILE": str(self._folder / "data")},
            capture_output=True,
            text=True,
            check=False,
        )
        if imported.returncode:
            return imported.stdout + imported.stderr
        coverage, report = _measured(self._config, self._folder), io.StringIO()
        coverage.combine([str(self._folder)])
        covered = coverage.report(file=report)
        return report.getvalue() if covered < 100 else ""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name the branches that no test took."""
        if self._report:
            terminalreporter.section("branches that no test takes", red=True)
            terminalreporter.line(self._report)


def import_all(patterns: Iterable[str]) -> None:
    """Import the modules of coverage's ``include``. Raises SystemExit where one names none."""
    for pattern in patterns:
        glob = pattern.removeprefix("*/")
        found = [
            path.relative_to(place)
            for place in map(Path, dict.fromkeys(sys.path))
            for path in sorted(place.glob(glob))
        ]
        if not found:
            raise SystemExit(f"no module is named {glob}")
        for path in found:
            parts = path.with_suffix("").parts
            import_module(".".join(part for part in parts if part != "__init__"))


if __name__ == "__main__":
    import_all(Coverage(config_file=sys.argv[1]).get_option("run:include"))  # type: ignore[arg-type]
