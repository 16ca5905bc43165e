"""Which tests run which lines: one run of them all, with a coverage context for each test."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import coverage
import pytest
from mutants import Mutant

Lines = dict[int, frozenset[str]]


@dataclass(frozen=True)
class Reach:
    """``seconds`` each test took, soonest done first; ``lines``: who ran them, by source file.

    The test "" stands for what ran while modules were imported and tests collected.
    """

    seconds: Mapping[str, float]
    lines: Mapping[Path, Lines]

    def judges(self, mutant: Mutant) -> list[str]:
        """The tests a mutant has to get past, the soonest done first.

        They are those that run a line of its statement: no other can see it. What runs at import
        any test may see: then it is all of them, first those that run anything of its module.
        """
        near = self._ran(mutant)
        if not self.at_import(mutant):
            return [test for test in self.seconds if test in near]
        near = frozenset().union(*self.lines[mutant.path].values())
        return sorted(self.seconds, key=lambda test: test not in near)  # stable: soonest first

    def at_import(self, mutant: Mutant) -> bool:
        """Whether it changes what happens while modules are imported and tests collected."""
        return mutant.at_import or "" in self._ran(mutant)

    def limit(self, *tests: str) -> float:
        """Seconds that these tests keep to by far, also on a machine that others keep busy."""
        return 15 + 10 * sum(self.seconds.get(test, 0.0) for test in tests)

    def _ran(self, mutant: Mutant) -> frozenset[str]:
        lines = self.lines.get(mutant.path, {})
        return frozenset().union(*(lines.get(line, frozenset()) for line in mutant.lines))


class _Contexts:
    """Tells coverage which test runs, and notes how long it took."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._measured.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self._measured.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self.seconds.pop(report.nodeid, None)
        elif report.when != "teardown" or report.nodeid in self.seconds:
            known = self.seconds.get(report.nodeid, 0.0)
            self.seconds[report.nodeid] = known + report.duration


def trace(modules: Mapping[str, Path], arguments: Sequence[str]) -> Reach | None:
    """Run pytest with ``arguments`` in this process; None where a test fails.

    ``modules`` (name to source) are imported first, so that their own level is nobody's context.
    """
    measured = coverage.Coverage(
        data_file=None, config_file=False, include=[str(path) for path in modules.values()]
    )
    contexts = _Contexts(measured)
    measured.start()
    try:
        for name in modules:
            importlib.import_module(name)
        code = pytest.main(list(arguments), plugins=[contexts])
    finally:
        measured.stop()
    if code != pytest.ExitCode.OK:
        return None
    told = measured.get_data()
    lines = {
        path: {line: frozenset(tests) for line, tests in told.contexts_by_lineno(str(path)).items()}
        for path in modules.values()
    }
    return Reach(dict(sorted(contexts.seconds.items(), key=lambda each: each[1])), lines)
