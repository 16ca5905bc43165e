"""A scenario as the TOML that reads back to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from alluse_gateway.scenario import Choice, Scenario, Span, Step


def toml_of(scenario: Scenario) -> str:
    """Return the TOML of a scenario; reading it gives an equal one but for its name."""
    return "\n".join(_lines(scenario)) + "\n"


def _lines(scenario: Scenario) -> Iterator[str]:
    yield f"about = {_value(scenario.about)}"
    yield f"begin = {_value(scenario.begin)}"
    yield f"seed = {scenario.seed}"
    for step in scenario.steps:
        yield from ("", "[[step]]")
        for key, value in _table(step).items():
            yield f"{key} = {_value(value)}"


def _table(step: Step) -> Mapping[str, Any]:
    table: dict[str, Any] = {}
    if step.at is not None:
        table["at"] = step.at
    if step.every is not None:
        table["every"] = step.every
    if step.after is not None:
        table["after"] = {"event": step.after.event, "count": step.after.count, **step.after.facts}
        table["delay"] = step.delay
    if step.at is None and step.times is not None:
        table["times"] = step.times
    return table | {"do": step.do, **step.arguments}


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Span):
        return _value({"low": value.low, "high": value.high})
    if isinstance(value, Choice):
        return _value({"any": list(value.values)})
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_value(each)}" for key, each in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, int | float):
        return repr(value)
    # A JSON string is a TOML string, but for DEL, which TOML wants escaped.
    return json.dumps(str(value)).replace("\x7f", "\\u007f")
