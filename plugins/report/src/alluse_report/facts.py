"""Named numbers, and sentences that can only be made from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

JOURNAL = "journal.db"
METRICS = "metrics.db"

Value = float | int | str | bool | None


@attrs.frozen
class Fact:
    """One number or word, its unit, and where it was read or how it was computed."""

    value: Value
    unit: str
    source: str


@attrs.frozen
class Sentence:
    """A computed sentence and the ids of the facts in it."""

    text: str
    facts: tuple[str, ...]


class Facts(Mapping[str, Fact]):
    """Facts by id, in the order in which they were stated. Stating an id twice is an error."""

    def __init__(self) -> None:
        self._facts: dict[str, Fact] = {}

    def state(self, name: str, value: Value, unit: str, source: str) -> None:
        """Add a fact; NaN and infinity become None, which reads "not measured"."""
        if name in self._facts:
            raise ValueError(f"fact {name!r} is stated twice")
        if isinstance(value, float) and not math.isfinite(value):
            value = None
        self._facts[name] = Fact(value, unit, source)

    def value(self, name: str) -> Value:
        """Return a fact's value."""
        return self._facts[name].value

    def number(self, name: str) -> float:
        """Return a fact as a float; NaN where it is not a number."""
        value = self._facts[name].value
        return float(value) if isinstance(value, int | float) else math.nan

    def known(self, *names: str) -> bool:
        """Return whether all of these were measured."""
        return all(self._facts[name].value is not None for name in names)

    def sentence(self, template: str) -> Sentence:
        """Fill ``[id]`` or ``[id:format]`` of a template; numbers come from facts alone."""
        parts: list[str] = []
        used: list[str] = []
        rest = template
        while rest:
            before, opening, rest = rest.partition("[")
            parts.append(before)
            if not opening:
                break
            token, _, rest = rest.partition("]")
            name, _, wanted = token.partition(":")
            parts.append(shown(self._facts[name], wanted))
            if name not in used:
                used.append(name)
        return Sentence("".join(parts), tuple(used))

    def __getitem__(self, name: str) -> Fact:
        return self._facts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)


def shown(fact: Fact, wanted: str = "") -> str:
    """Return a fact as text with its unit; None reads "not measured".

    ``wanted`` is a format, or for an ISO time in UTC ``clock`` (its time of day) or ``second``
    (date and time of day).
    """
    if fact.value is None:
        return "not measured"
    if wanted == "clock":
        return f"{str(fact.value)[11:19]} UTC"
    if wanted == "second":
        return str(fact.value)[:19].replace("T", " ")
    if wanted:
        text = format(fact.value, wanted)
    elif isinstance(fact.value, float):
        text = f"{fact.value:.4g}"
    else:
        text = str(fact.value)
    if not fact.unit:
        return text
    return f"{text}/s" if fact.unit == "1/s" else f"{text} {fact.unit}"


def to_json(facts: Mapping[str, Fact]) -> dict[str, dict[str, Any]]:
    """Return facts as JSON values."""
    return {name: attrs.asdict(fact) for name, fact in facts.items()}
