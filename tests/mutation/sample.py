"""The mutation score of what decides about orders: plants small faults, counts those tests see.

    python tests/mutation/sample.py [--mutants N] [--seed S] [--skip N] [--tests FILE] [MODULE...]

The modules are those of tests/orders/coverage.ini, the tests those that count for them. A
sample takes as many mutants of each module as of another; ``--skip N`` leaves out the N that came
before in the order of the seed, so that a later sample shares none with an earlier one.
``ALLUSE_SECONDS`` ends it after so many, with the score of those that were judged until then.

A mutant is *killed* when a test fails, *timed out* (seen too) when one takes ten times as long and
15 seconds more, *survived* when every test that can see it passes. The score is the share of
killed and timed out ones among all but those that equivalent.toml names and gives a reason for.

Why not mutmut or cosmic-ray: mutmut leaves the body of each decorated method (properties) and each
table at a module's level as they are, and our rules about orders are tables; cosmic-ray writes
into the working tree, where others may be reading.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path

from bench import ROOT, Bench, Verdict, bench
from mutants import Mutant, difference, mutants, was_and_is

WANTED = 0.95
FEWEST = 60
"""A score of fewer mutants says little."""
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
# Slow, or with processes of their own, which no mutant is planted in.
LEFT_OUT = ("crash", "model", "power_loss", "memory")


def modules() -> dict[str, Path]:
    """The sources that must be covered whole, and so are worth a mutation, by their names."""
    config = (ROOT / "tests/orders/coverage.ini").read_text().splitlines()
    named = [each.strip().removeprefix("*/") for each in config if each.strip().startswith("*/")]
    globs = [glob for name in named for glob in (name, f"plugins/*/src/{name}")]
    paths = sorted(path for glob in globs for path in ROOT.glob(glob))
    return {_name(path): path for path in paths if path.name != "__init__.py"}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[parts.index("src") + 1 :] if "src" in parts else parts)


def fast_tests() -> list[str]:
    """The test files that judge a mutant."""
    orders = sorted((ROOT / "tests/orders").glob("test_*.py"))
    kept = [path for path in orders if path.stem.removeprefix("test_") not in LEFT_OUT]
    risk = sorted((ROOT / "plugins/risk/tests").glob("test_*.py"))
    outcomes = ROOT / "tests/core/test_outcomes.py"
    return [str(path.relative_to(ROOT)) for path in (outcomes, *risk, *kept)]


def in_order(paths: Sequence[Path], seed: int) -> list[Mutant]:
    """Every mutant, shuffled, one of each module in turn."""
    chance = random.Random(seed)
    columns = [chance.sample(found, len(found)) for found in map(mutants, paths)]
    return [mutant for mutant in chain(*zip_longest(*columns)) if mutant is not None]


def equivalents() -> list[Mapping[str, str]]:
    """The mutants that change nothing anybody could see: ``module``, ``was``, ``is``, ``why``."""
    entries: list[Mapping[str, str]] = tomllib.loads(EQUIVALENT.read_text()).get("mutant", [])
    return entries


def is_equivalent(mutant: Mutant, entries: Sequence[Mapping[str, str]]) -> bool:
    """Whether one of the entries of equivalent.toml names this mutant."""
    module = str(mutant.path.relative_to(ROOT))
    line = mutant.path.read_text().splitlines()[mutant.line - 1].strip()
    near = [each["is"] for each in entries if (each["module"], each["was"]) == (module, line)]
    return bool(near) and was_and_is(mutant)[1] in near


def judge(judging: Bench, chosen: Sequence[Mutant], until: float = math.inf) -> Counter[str]:
    """Count the verdicts, each told as it falls; at ``until`` on the clock it ends."""
    tally: Counter[str] = Counter()
    entries = equivalents()
    for mutant in chosen:
        if time.monotonic() > until and tally.total() >= FEWEST:
            break
        known = is_equivalent(mutant, entries)
        verdict = Verdict("equivalent") if known else judging.judge(mutant)
        tally[verdict.word] += 1
        print(f"{verdict.word}: {mutant} {verdict.by}".rstrip(), flush=True)
        if verdict.word == "survived":
            print(difference(mutant), flush=True)
    return tally


def main(arguments: Sequence[str]) -> int:
    """Exits with 1 when fewer mutants than wanted are seen."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    unknown = set(asked.modules) - {path.stem for path in modules().values()}
    if unknown:
        parser.error(f"no judged module is named {', '.join(sorted(unknown))}")
    chosen_modules = {
        name: path
        for name, path in modules().items()
        if not asked.modules or path.stem in asked.modules
    }
    every = in_order(list(chosen_modules.values()), asked.seed)
    count = len(every) if asked.mutants == "all" else int(asked.mutants)
    chosen = every[asked.skip : asked.skip + count]
    began, seconds = time.monotonic(), float(os.environ.get("ALLUSE_SECONDS", "inf"))
    with bench(chosen_modules, asked.tests or fast_tests()) as judging:
        tally = judge(judging, chosen, began + seconds)
    seen, judged = tally["killed"] + tally["timed out"], tally.total() - tally["equivalent"]
    score = seen / judged if judged else 0.0
    print(
        f"{tally.total()} of {len(every)} mutants, seed {asked.seed}, skipped {asked.skip}:",
        end=" ",
    )
    print(f"{dict(tally)}; score {score:.1%}; {time.monotonic() - began:.0f} s")
    return int(score < WANTED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "modules", nargs="*", help="names of modules, such as: states (default all)"
    )
    parser.add_argument("--mutants", default="all", help="how many, or 'all'")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip", type=int, default=0, help="how many of the order to leave out")
    parser.add_argument("--tests", action="append", help="judge by this test file alone")
    return parser


if __name__ == "__main__":
    # A kill ends it as an error does: its forks and its folder go with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    sys.exit(main(sys.argv[1:]))
