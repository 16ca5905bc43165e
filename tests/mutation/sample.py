"""The mutation score of what decides about orders: plants small faults, counts those the tests see.

    ALLUSE_MUTANTS=300 ALLUSE_MUTANT_SEED=1 python tests/mutation/sample.py [MODULE_NAME...]

The modules are those of tests/orders/coverage.ini. mutmut leaves the body of each decorated method
(properties) and each table at a module's level as they are, and our rules about orders are tables;
cosmic-ray writes into the working tree, where others may be reading. So each mutant goes into a
copy of the packages that comes first on PYTHONPATH, and the fast tests run until one fails.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from mutants import Mutant, difference, mutants, mutated, plain

ROOT = Path(__file__).parents[2]
WANTED = 0.95
TIMEOUT = 180.0
PACKAGES = (ROOT / "alluse_core", ROOT / "plugins/risk/src/alluse_risk")
# Those that fail soonest first; a survivor is one that all of them, and the rest, let pass.
FIRST = ("states", "numbers", "notices", "error_codes", "adjustments", "submit", "evidence")
LEFT_OUT = ("coverage", "crash", "model", "power_loss", "memory", "pacing", "breaker")


def modules() -> list[Path]:
    """The sources that must be covered whole, and so are worth a mutation."""
    config = (ROOT / "tests/orders/coverage.ini").read_text().splitlines()
    named = [each.strip().removeprefix("*/") for each in config if each.strip().startswith("*/")]
    globs = [glob for name in named for glob in (name, f"plugins/*/src/{name}")]
    return sorted(path for glob in globs for path in ROOT.glob(glob))


def fast_tests() -> list[str]:
    """The test files a mutant must get past, in the order they are run."""
    orders = sorted((ROOT / "tests/orders").glob("test_*.py"))
    names = {each.stem.removeprefix("test_"): each for each in orders}
    rest = [each for name, each in names.items() if name not in (*FIRST, *LEFT_OUT)]
    risk = sorted((ROOT / "plugins/risk/tests").glob("test_*.py"))
    outcomes = ROOT / "tests/core/test_outcomes.py"
    first = [names[name] for name in FIRST]
    return [str(path.relative_to(ROOT)) for path in (*risk, outcomes, *first, *rest)]


class Bench:
    """One copy of the packages, in which one mutant at a time is judged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for package in PACKAGES:
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(package, folder / package.name, ignore=ignore)

    def verdict(self, mutant: Mutant, tests: Sequence[str]) -> str:
        """``killed``, ``timed out`` (also seen) or ``survived``."""
        try:
            self._write(mutant.path, mutated(mutant))
            return self.run(tests)[0]
        finally:
            self._write(mutant.path, plain(mutant.path))

    def run(self, tests: Sequence[str]) -> tuple[str, str]:
        """The verdict of the tests on the copy as it is, and what they printed.

        Raises:
            RuntimeError: pytest found nothing to run, which is no verdict.
        """
        known = os.environ.get("PYTHONPATH", "")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(self._folder), known))),
            "PYTHONSAFEPATH": "1",  # else the working directory's package would come first
            "HYPOTHESIS_STORAGE_DIRECTORY": str(self._folder / "hypothesis"),
        }
        pytest = (sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--timeout", "30")
        steady = ("-p", "no:cacheprovider", "--hypothesis-seed=0")
        told = ("--tb=line", f"--basetemp={self._folder / 'tmp'}")
        try:
            ran = subprocess.run(
                [*pytest, *steady, *told, *tests],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "timed out", ""
        # 5: nothing collected; 4: wrong use, or a conftest that the mutant does not let load.
        if ran.returncode == 5 or "file or directory not found" in ran.stderr:
            raise RuntimeError(f"no tests ran:\n{ran.stdout}{ran.stderr}")
        return ("killed" if ran.returncode else "survived"), ran.stdout + ran.stderr

    def _write(self, path: Path, source: str) -> None:
        package = next(each for each in PACKAGES if path.is_relative_to(each))
        target = self._folder / package.name / path.relative_to(package)
        # A mutant may have the size and second of the one before: its compiled form must go.
        Path(importlib.util.cache_from_source(str(target))).unlink(missing_ok=True)
        target.write_text(source)


@contextmanager
def bench() -> Iterator[Bench]:
    """A bench whose folder is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="alluse-mutants-") as folder:
        yield Bench(Path(folder))


def judge(chosen: Sequence[Mutant], tests: Sequence[str], workers: int) -> dict[Mutant, str]:
    """Each mutant's verdict, told as it falls."""
    free: SimpleQueue[Bench] = SimpleQueue()

    def one(mutant: Mutant) -> str:
        held = free.get()
        try:
            verdict = held.verdict(mutant, tests)
        finally:
            free.put(held)
        where = f"{mutant.path.name}:{mutant.line} {mutant.kind}"
        print(f"{verdict}: {where}", flush=True)
        if verdict == "survived":
            print(difference(mutant), flush=True)
        return verdict

    with tempfile.TemporaryDirectory(prefix="alluse-mutants-") as folder:
        for number in range(workers):
            free.put(Bench(Path(folder) / str(number)))
        with ThreadPoolExecutor(workers) as pool:
            return dict(zip(chosen, pool.map(one, chosen), strict=True))


def main(names: Sequence[str]) -> int:
    """Exits with 1 when fewer mutants than wanted are seen."""
    count = int(os.environ.get("ALLUSE_MUTANTS", "300"))
    seed = int(os.environ.get("ALLUSE_MUTANT_SEED", "1"))
    tests = fast_tests()
    with bench() as untouched:
        verdict, told = untouched.run(tests)
    if verdict != "survived":
        print(f"the tests fail without a mutant:\n{told[-3000:]}")
        return 1
    paths = [path for path in modules() if not names or path.stem in names]
    every = [mutant for path in paths for mutant in mutants(path)]
    chosen = random.Random(seed).sample(every, min(count, len(every)))
    verdicts = judge(chosen, tests, workers=os.cpu_count() or 1)
    tally = Counter(verdicts.values())
    score = 1 - tally["survived"] / len(chosen)
    print(f"{len(chosen)} of {len(every)} mutants, seed {seed}: {dict(tally)}; score {score:.1%}")
    return int(score < WANTED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
