"""A bench: judges one mutant after the other, each in a process of its own.

Nothing is written into a working tree, and no mutant sees what another left behind: each process
is a fork, of a session of pytest that has collected every test, or, for what is changed while a
module is imported, of an interpreter that has imported none of our packages yet.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import hypothesis
import pytest
from mutants import Mutant
from planting import Planted, functions_of, plant_in
from reach import Reach, trace

ROOT = Path(__file__).parents[2]
# Most mutants are seen by the first of these: the files of the others are not even collected.
FIRST = 25
# Seconds a process may take before its first test.
START = 60.0
SHARED = ("asyncio", "attrs", "cattrs", "click", "decimal", "json", "pluggy", "sqlite3", "zoneinfo")


@dataclass(frozen=True)
class Verdict:
    """``killed`` (a test failed, named in ``by``), ``timed out`` (seen too) or ``survived``."""

    word: str
    by: str = ""


class _Watch:
    """Keeps the first failure."""

    def __init__(self) -> None:
        self.failed = ""
        self.late = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid
            self.late = "from pytest-timeout" in str(report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = f"collecting {report.nodeid}"

    def verdict(self) -> Verdict:
        if not self.failed:
            return Verdict("survived")
        return Verdict("timed out" if self.late else "killed", self.failed)


class _Selection(_Watch):
    """Runs the chosen tests in their order.

    A test that only the mutant brings about, such as a parameter of another name, is kept too.
    """

    def __init__(self, reach: Reach, chosen: Sequence[str]) -> None:
        super().__init__()
        self._reach = reach
        self._order = {test: place for place, test in enumerate(chosen)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        others = {*self._reach.seconds} - {*self._order}
        items[:] = sorted(
            (item for item in items if item.nodeid not in others),
            key=lambda item: self._order.get(item.nodeid, len(self._order)),
        )
        for item in items:
            _limit(item, self._reach)


class _Collected(_Watch):
    """A session that has collected every test and judges, in forks, what it is asked to.

    It is asked (mutant, tests) and answers a verdict, or None where the mutant cannot be planted.
    """

    def __init__(self, pipe: Connection, reach: Reach) -> None:
        super().__init__()
        self._pipe, self._reach = pipe, reach

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        functions = functions_of(iter(self._reach.lines))
        items = {item.nodeid: item for item in session.items}
        while (asked := self._pipe.recv()) is not None:
            mutant, tests = asked
            work = partial(self._meet, functions, mutant, [items[test] for test in tests])
            self._pipe.send(_judged(work, self._reach.limit(*tests)))
        return True

    def _meet(self, functions: Any, mutant: Mutant, items: Sequence[pytest.Item]) -> Any:
        if not plant_in(functions, mutant):
            return None
        for item, after in zip(items, [*items[1:], None], strict=True):
            _limit(item, self._reach)
            try:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            except BaseException as error:  # noqa: BLE001  it got past pytest: no test passes so
                return Verdict("killed", f"{type(error).__name__} out of {item.nodeid}")
            if self.failed:
                break
        return self.verdict()


def _limit(item: pytest.Item, reach: Reach) -> None:
    item.add_marker(pytest.mark.timeout(reach.limit(item.nodeid)))


class Bench:
    """Judges mutants of ``modules`` (name to source) by the tests of ``files``."""

    def __init__(self, folder: Path, modules: Mapping[str, Path], files: Sequence[str]) -> None:
        self._folder = folder
        self._names = {path: name for name, path in modules.items()}
        run = [*self._options(), *files]
        self._killers: defaultdict[Path, Counter[str]] = defaultdict(Counter)
        reach = _in_a_fork(lambda: self._settled(partial(trace, modules, run)), 900.0)
        if reach is None:
            raise RuntimeError(f"the tests fail without a mutant:\n{self._told()}")
        self.reach: Reach = reach
        processes = multiprocessing.get_context("fork")
        self._collected, theirs = processes.Pipe()
        serve = partial(pytest.main, run, [_Collected(theirs, reach)])
        self._session = processes.Process(target=self._settled, args=(serve,))
        self._session.start()
        theirs.close()

    def judge(self, mutant: Mutant) -> Verdict:
        """Run the mutant's tests until one fails, first those that its neighbours failed."""
        tests = self.reach.judges(mutant)
        if not tests:
            return Verdict("survived", "(no test runs it)")
        killers = self._killers[mutant.path]
        tests.sort(key=lambda test: -killers[test])  # stable: else the soonest done first
        verdict = self._judge(mutant, tests)
        killers[verdict.by] += 1
        return verdict

    def _judge(self, mutant: Mutant, tests: Sequence[str]) -> Verdict:
        if not self.reach.at_import(mutant):
            self._collected.send((mutant, tests))
            verdict = self._collected.recv()
            if verdict is not None:
                return cast(Verdict, verdict)
        for some in filter(None, (tests[:FIRST], tests[FIRST:])):
            work = partial(self._meet, mutant, some)
            verdict = _judged(partial(self._settled, work), self.reach.limit(*some))
            if verdict.word != "survived":
                return verdict
        return Verdict("survived")

    def close(self) -> None:
        """End the session that has collected."""
        self._session.terminate()  # it ends the fork that it waits for
        self._session.join(10)
        self._session.kill()

    def _meet(self, mutant: Mutant, tests: Sequence[str]) -> Verdict:
        sys.meta_path.insert(0, Planted(self._names[mutant.path], mutant))
        selection = _Selection(self.reach, tests)
        files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
        code = pytest.main([*self._options(), "-x", *files], plugins=[selection])
        if code == pytest.ExitCode.NO_TESTS_COLLECTED:
            raise RuntimeError(f"none of {len(tests)} tests was found")
        if code == pytest.ExitCode.OK or selection.failed:
            return selection.verdict()
        return Verdict("killed", f"pytest ended with {code!r}")

    def _options(self) -> tuple[str, ...]:
        plugins = ("-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-profile=steady")
        # Ours imported hypothesis already: it would have its assertions rewritten, which is no use.
        ignored = "-Wignore::pytest.PytestAssertRewriteWarning"
        told = ("-q", "--no-header", "--tb=short", f"--basetemp={self._folder / 'tmp'}")
        return (f"--rootdir={ROOT}", ignored, *plugins, *told)

    def _settled(self, work: Callable[[], Any]) -> Any:
        """Do the work in this fork: with the sources of this tree, and quietly."""
        with open(self._folder / "told", "w") as told:
            os.dup2(told.fileno(), 1)
            os.dup2(told.fileno(), 2)
        os.chdir(ROOT)
        sys.path[:0] = [str(ROOT), *map(str, sorted(ROOT.glob("plugins/*/src")))]
        os.environ["TMPDIR"] = tempfile.tempdir = str(self._folder)
        return work()

    def _told(self) -> str:
        return (self._folder / "told").read_text()[-3000:]


def _judged(work: Callable[[], Any], limit: float) -> Any:
    """A verdict of a fork, whatever becomes of it; ``limit``: what its tests may take."""
    try:
        return _in_a_fork(work, START + limit)
    except TimeoutError:
        return Verdict("timed out")
    except EOFError:
        return Verdict("killed", "the interpreter ended")
    except pytest.PytestWarning as warning:
        # What is left open is told after the last test; warnings are errors here.
        return Verdict("killed", f"a warning: {warning}".splitlines()[0])


def _in_a_fork(work: Callable[[], Any], limit: float) -> Any:
    """What ``work`` gives, or raises, in a process of its own.

    Raises:
        TimeoutError: it took longer than ``limit`` seconds.
        EOFError: the process ended without an answer.
    """
    processes = multiprocessing.get_context("fork")
    ours, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=_answer, args=(theirs, work))
    process.start()
    theirs.close()
    try:
        if not ours.poll(limit):
            raise TimeoutError
        answer = ours.recv()
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _answer(pipe: Connection, work: Callable[[], Any]) -> None:
    try:
        pipe.send(work())
    except BaseException as error:  # noqa: BLE001  the other process raises it
        pipe.send(error)


@contextmanager
def bench(modules: Mapping[str, Path], files: Sequence[str]) -> Iterator[Bench]:
    """A bench whose folder is gone afterwards; in memory where there is some: tests wait for disks.

    Raises:
        RuntimeError: a test fails without any mutant.
    """
    for name in SHARED:
        importlib.import_module(name)
    hypothesis.settings.register_profile("steady", deadline=None, database=None, derandomize=True)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="alluse-mutants-", dir=memory) as folder:
        judging = Bench(Path(folder), modules, files)
        try:
            yield judging
        finally:
            judging.close()
