"""A random script of faults from one number; the same number gives the same script."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

import attrs

from alluse_gateway.scenario import Scenario, Step

RATE: Final = 6.0
"""Faults a minute, on average."""

SECONDS: Final = 3600.0
"""For how long faults happen."""


@attrs.frozen
class _Moment:
    """A step ``later`` seconds after its fault began."""

    later: float
    do: str
    arguments: dict[str, Any] = attrs.field(factory=dict)


Fault = Callable[[Random], list[_Moment]]


def random_scenario(seed: int, rate: float = RATE, seconds: float = SECONDS) -> Scenario:
    """Return faults at random times, ``rate`` a minute on average, over ``seconds``.

    Each that lasts is ended after a while. Times are those of the first client's start.
    """
    random = Random(f"faults/{seed}")
    makers, weights = zip(*_FAULTS, strict=True)
    steps: list[Step] = []
    at = 0.0
    while (at := at + random.expovariate(rate / 60.0)) < seconds:
        (maker,) = random.choices(makers, weights)
        for moment in maker(random):
            when = round(at + moment.later, 3)
            steps.append(Step(moment.do, moment.arguments, at=when, times=1))
    if not steps:
        # A short run with a low rate has a fault all the same.
        steps = [Step("drop", {}, at=round(seconds / 2, 3), times=1)]
    steps.sort(key=lambda step: _time(step))
    about = f"Random faults of seed {seed}: {rate:g} a minute for {seconds:g} s."
    return Scenario(f"faults-{seed}", about, tuple(steps), "start", seed)


def _time(step: Step) -> float:
    assert isinstance(step.at, float)
    return step.at


def _while(do: str, on: dict[str, Any], off: dict[str, Any], longest: float) -> Fault:
    """A fault that lasts at most ``longest`` seconds and is then undone."""

    def make(random: Random) -> list[_Moment]:
        return [_Moment(0.0, do, on), _Moment(random.uniform(0.2, longest), do, off)]

    return make


def _once(do: str, **arguments: Any) -> Fault:
    return lambda _: [_Moment(0.0, do, arguments)]


def _messages(random: Random) -> list[_Moment]:
    count = random.randint(1, 4)
    kinds = random.choice(
        [["orderStatus"], ["openOrder", "orderStatus"], ["execDetails"], ["commissionReport"]]
    )
    do = random.choice(["lose", "duplicate", "reorder", "delay"])
    arguments: dict[str, Any] = {"kinds": kinds, "count": count}
    if do == "delay":
        arguments["seconds"] = round(random.uniform(0.1, 3.0), 3)
    return [_Moment(0.0, do, arguments)]


def _late(random: Random) -> list[_Moment]:
    do = random.choice(["latency", "delay_acks"])
    on = {"seconds": round(random.uniform(0.05, 2.0), 3)}
    return [_Moment(0.0, do, on), _Moment(random.uniform(1.0, 20.0), do, {"seconds": 0.0})]


def _broken_link(random: Random) -> list[_Moment]:
    seconds = round(random.uniform(0.5, 20.0), 3)
    return [_Moment(0.0, "reset", {"seconds": seconds, "data_lost": random.random() < 0.5})]


def _broken_farm(random: Random) -> list[_Moment]:
    broken, mended = random.choice([(2103, 2104), (2105, 2106), (2157, 2158)])
    mend = _Moment(random.uniform(0.5, 20.0), "broadcast", {"code": mended})
    return [_Moment(0.0, "broadcast", {"code": broken}), mend]


def _refusals(random: Random) -> list[_Moment]:
    told = random.choice(["", "PreSubmitted", "Submitted"])
    return [_Moment(0.0, "reject", {"count": random.randint(1, 3), "told": told})]


def _restart(random: Random) -> list[_Moment]:
    seconds = round(random.uniform(0.5, 30.0), 3)
    return [_Moment(0.0, "restart", {"seconds": seconds, "roll_back": 0})]


def _segments(random: Random) -> list[_Moment]:
    on = {"size": random.randint(1, 9)}
    return [_Moment(0.0, "split", on), _Moment(random.uniform(1.0, 20.0), "split", {"size": 0})]


def _preset(random: Random) -> list[_Moment]:
    on = {"tif": random.choice(["DAY", "GTC"])}
    return [_Moment(0.0, "preset", on), _Moment(random.uniform(1.0, 30.0), "preset", {"tif": ""})]


def _modifies(random: Random) -> list[_Moment]:
    do = random.choice(["silent_modifies", "split_modifies"])
    return [_Moment(0.0, do, {"count": random.randint(1, 2)})]


def _other_data(random: Random) -> list[_Moment]:
    kind = random.choice([2, 3, 4])
    back = _Moment(random.uniform(1.0, 20.0), "data_type", {"kind": 1})
    return [_Moment(0.0, "data_type", {"kind": kind}), back]


_FAULTS: Final[tuple[tuple[Fault, int], ...]] = (
    (_messages, 6),
    (_late, 4),
    (_broken_link, 3),
    (_broken_farm, 2),
    (_refusals, 2),
    (_segments, 2),
    (_restart, 1),
    (_preset, 2),
    (_modifies, 2),
    (_other_data, 2),
    (_once("fail_live_updates", lines=True), 1),
    (_once("depth_reset"), 1),
    (_while("read_only", {}, {"on": False}, 10.0), 1),
    (_while("precautions", {"size": 50}, {"size": 0}, 20.0), 1),
    (_while("competing_session", {}, {"on": False}, 20.0), 1),
    (_once("drop"), 2),
    (_once("drop", abort=True), 2),
    (_once("half_open"), 1),
    (_once("desync", how="length"), 1),
    (_once("desync", how="noise"), 1),
    (_once("desync", how="cut"), 1),
    (_once("pacing_kill"), 1),
    (_once("executions_first", count=2), 2),
    (_once("partial_fills", count=3, fraction="0.3"), 3),
    (_while("black_hole", {"deaf": False}, {"on": False}, 10.0), 1),
    (_while("black_hole", {"deaf": True}, {"on": False}, 10.0), 1),
    (_while("clock_skew", {"seconds": -90.0}, {"seconds": 0.0}, 60.0), 1),
    (_while("coalesce", {"seconds": 0.2}, {"seconds": 0.0}, 20.0), 1),
)
