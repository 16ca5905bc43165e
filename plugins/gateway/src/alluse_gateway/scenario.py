"""Scenarios: faults in the order of a script, read strictly from TOML.

A step does what the control interface's method of the same name does, with the same arguments::

    about = "The link is lost while an order rests."
    begin = "start"                       # the clock runs from the first client's startApi

    [[step]]
    at = 2.5                              # seconds from the beginning
    do = "broadcast"
    code = 1100

    [[step]]
    after = { event = "fill", count = 2 } # the second fill in the ledger
    delay = { low = 0.1, high = 0.5 }     # seconds, drawn from the seed
    do = "broadcast"
    code = { any = [1101, 1102] }

    [[step]]
    every = 10.0
    times = 3
    do = "drop"
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs

from alluse_core.errors import UsageError, did_you_mean
from alluse_gateway.ledger_events import EVENTS
from alluse_gateway.step_arguments import STEPS, problem_with

BEGINNINGS: Final = ("start", "listen", "told")
"""The first client's start, the first listening, or when the control interface says so."""

WHEN: Final = ("at", "every", "after")
RESERVED: Final = (*WHEN, "times", "delay", "do")
"""Keys of a step that are no arguments of what it does."""


class ScenarioError(UsageError):
    """A scenario cannot be read, or asks for what cannot be."""


@attrs.frozen
class Span:
    """A number drawn anew each time, between ``low`` and ``high``; whole where both are."""

    low: float
    high: float

    def draw(self, random: Random) -> float:
        """Return a number of the span."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return random.randint(self.low, self.high)
        return random.uniform(self.low, self.high)


@attrs.frozen
class Choice:
    """A value drawn anew each time from those of ``any``."""

    values: tuple[Any, ...]

    def draw(self, random: Random) -> Any:
        """Return one of the values."""
        return random.choice(self.values)


@attrs.frozen
class After:
    """The ledger's ``count``-th entry of ``event`` whose facts include ``facts``."""

    event: str
    count: int = 1
    facts: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Step:
    """One step: when (exactly one of ``at``, ``every``, ``after``), what, and with what.

    ``times`` bounds the repetitions of ``every`` (None: no end), or says how often ``after``
    applies, each time to ``count`` further entries. ``delay`` comes on top of ``after``.
    """

    do: str
    arguments: Mapping[str, Any] = attrs.field(factory=dict)
    at: float | Span | None = None
    every: float | Span | None = None
    after: After | None = None
    times: int | None = None
    delay: float | Span = 0.0


@attrs.frozen
class Scenario:
    """A script of faults. ``seed`` is of everything in it that is drawn."""

    name: str
    about: str
    steps: tuple[Step, ...]
    begin: str = "start"
    seed: int = 0


def drawn(value: Any, random: Random) -> Any:
    """Return ``value``, or what is drawn where it leaves a choice."""
    return value.draw(random) if isinstance(value, Span | Choice) else value


# --- finding --------------------------------------------------------------------------------------


def shipped() -> tuple[Scenario, ...]:
    """Return the scenarios that come with this package, by name."""
    found = [each for each in _folder().iterdir() if each.name.endswith(".toml")]
    return tuple(
        parse(each.read_text("utf-8"), each.name.removesuffix(".toml"))
        for each in sorted(found, key=lambda each: each.name)
    )


def find(which: str | Path) -> Scenario:
    """Return a shipped scenario by name, or the one of a file. Raises ScenarioError."""
    if isinstance(which, Path) or which.endswith(".toml") or "/" in which or "\\" in which:
        return _from_file(Path(which))
    names = [each.name.removesuffix(".toml") for each in _folder().iterdir()]
    if which not in names:
        raise ScenarioError(
            f"no scenario is called {which!r}{did_you_mean(which, names)}",
            hint="see 'alluse gateway --scenarios', or name a file that ends in .toml",
        )
    return parse((_folder() / f"{which}.toml").read_text("utf-8"), which)


def _folder() -> Any:
    return resources.files("alluse_gateway") / "scenarios"


def _from_file(path: Path) -> Scenario:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"the scenario {path} cannot be read: {error}") from error
    return parse(text, path.name)


# --- reading --------------------------------------------------------------------------------------


def parse(text: str, name: str) -> Scenario:
    """Read a scenario from TOML. Raises ScenarioError, which names the step."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{name}: not TOML: {error}") from error
    _known(document, ("about", "begin", "seed", "step"), name)
    about, steps = document.get("about", ""), document.get("step", [])
    if not isinstance(about, str) or not about.strip():
        raise ScenarioError(f"{name}: 'about' is missing: one line on what happens")
    begin, seed = document.get("begin", "start"), document.get("seed", 0)
    if begin not in BEGINNINGS:
        raise ScenarioError(
            f"{name}: begin is {' or '.join(BEGINNINGS)}, not {begin!r}"
            f"{did_you_mean(str(begin), BEGINNINGS)}"
        )
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ScenarioError(f"{name}: seed is a whole number, not {seed!r}")
    if not isinstance(steps, list) or not steps:
        raise ScenarioError(f"{name}: there is no [[step]]")
    read = [_step(each, f"{name}, step {number}") for number, each in enumerate(steps, 1)]
    return Scenario(name.removesuffix(".toml"), about.strip(), tuple(read), begin, seed)


def _step(table: Any, where: str) -> Step:
    if not isinstance(table, dict):
        raise ScenarioError(f"{where}: a step is a table")
    given = [key for key in WHEN if key in table]
    if len(given) != 1:
        raise ScenarioError(f"{where}: a step has one of {', '.join(WHEN)}, not {given or 'none'}")
    do = table.get("do")
    if do not in STEPS:
        raise ScenarioError(
            f"{where}: {do!r} is no step{did_you_mean(str(do), STEPS)}",
            hint="one of " + ", ".join(sorted(STEPS)),
        )
    arguments = {key: _value(each, where) for key, each in table.items() if key not in RESERVED}
    if problem := problem_with(do, _samples(arguments)):
        raise ScenarioError(f"{where} ({do}): {problem}")
    _fit(table, where)
    return Step(
        do=do,
        arguments=arguments,
        at=_seconds(table, "at", where),
        every=_seconds(table, "every", where),
        after=_after(table["after"], where) if "after" in table else None,
        times=_times(table, where),
        delay=_seconds(table, "delay", where) or 0.0,
    )


def _fit(table: Mapping[str, Any], where: str) -> None:
    if "delay" in table and "after" not in table:
        raise ScenarioError(f"{where}: 'delay' goes with 'after'; give the time as 'at'")
    if "times" in table and "at" in table:
        raise ScenarioError(f"{where}: 'times' goes with 'every' or 'after'")


def _after(value: Any, where: str) -> After:
    if not isinstance(value, dict) or not isinstance(value.get("event"), str):
        raise ScenarioError(f"{where}: 'after' is a table with an 'event' of the ledger")
    event = value["event"]
    if event not in EVENTS:
        raise ScenarioError(
            f"{where}: {event!r} is no event of the ledger{did_you_mean(event, EVENTS)}"
        )
    count = value.get("count", 1)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ScenarioError(f"{where}: 'count' is a whole number from 1, not {count!r}")
    facts = {key: each for key, each in value.items() if key not in ("event", "count")}
    if not EVENTS[event].open:
        _known(facts, EVENTS[event].facts, f"{where}, after {event}")
    return After(event, count, facts)


def _times(table: Mapping[str, Any], where: str) -> int | None:
    times = table.get("times", None if "every" in table else 1)
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
        raise ScenarioError(f"{where}: 'times' is a whole number from 1, not {times!r}")
    return times


def _seconds(table: Mapping[str, Any], key: str, where: str) -> float | Span | None:
    if key not in table:
        return None
    value = _value(table[key], where)
    low = value.low if isinstance(value, Span) else value
    # A period of zero would never let anything else run.
    least = 0.001 if key == "every" else 0.0
    if not isinstance(low, int | float) or isinstance(low, bool) or not least <= low < 1e9:
        raise ScenarioError(f"{where}: {key!r} is a number of seconds, not {table[key]!r}")
    return value if isinstance(value, Span) else float(low)


def _value(value: Any, where: str) -> Any:
    """Read a value that may leave a choice: {any = [...]} or {low = ..., high = ...}."""
    if not isinstance(value, dict):
        return value
    if set(value) == {"any"} and isinstance(value["any"], list) and value["any"]:
        return Choice(tuple(value["any"]))
    span = set(value) == {"low", "high"} and all(map(_is_number, value.values()))
    if span and value["low"] <= value["high"]:
        return Span(value["low"], value["high"])
    raise ScenarioError(
        f"{where}: {value!r} is neither a value nor a choice",
        hint="a choice is { any = [1, 2] } or { low = 0.1, high = 0.5 }",
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _samples(arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield argument sets in which every value that may be drawn appears."""
    many = {
        key: each.values if isinstance(each, Choice) else (each.low, each.high)
        for key, each in arguments.items()
        if isinstance(each, Span | Choice)
    }
    plain = {key: each for key, each in arguments.items() if key not in many}
    for number in range(max([1, *map(len, many.values())])):
        yield plain | {key: values[number % len(values)] for key, values in many.items()}


def _known(table: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in names:
            raise ScenarioError(
                f"{where}: {key!r} is not among {list(names)}{did_you_mean(key, names)}"
            )
