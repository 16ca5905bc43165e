"""Plays a scenario against a running gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from alluse_gateway.ledger import Entry
from alluse_gateway.scenario import After, Scenario, Step, drawn

if TYPE_CHECKING:
    from alluse_gateway.server import SimulatedGateway

UNSCALED = ("clock_skew",)
"""Steps whose ``seconds`` are no duration."""


class ScenarioPlayer:
    """Carries out a scenario's steps, each at its time by the gateway's clock.

    ``time_scale`` multiplies all times and durations: 0.01 plays an hour in 36 seconds. What is
    drawn depends on the scenario's seed alone, not on when other steps happen. A step that
    cannot be carried out is noted in the ledger; ``failure`` is the first such error.
    """

    def __init__(
        self, gateway: SimulatedGateway, scenario: Scenario, time_scale: float = 1.0
    ) -> None:
        self.scenario = scenario
        self._gateway = gateway
        self._scale = time_scale
        self._task: asyncio.Task[None] | None = None
        self._began = asyncio.Event()
        self._waits: dict[int, _Count] = {}
        self._unlisten: Callable[[], None] | None = None
        self.failure: Exception | None = None

    def start(self) -> None:
        """Listen to the ledger, and begin when the scenario says so."""
        self._waits = {
            number: _Count(step.after)
            for number, step in enumerate(self.scenario.steps)
            if step.after is not None
        }
        self._unlisten = self._gateway.ledger.listen(self._on_entry)
        self._task = asyncio.create_task(self._play())

    def begin(self) -> None:
        """Begin now, whatever the scenario waits for."""
        self._began.set()

    async def stop(self) -> None:
        """End it, done or not."""
        if self._unlisten is not None:
            self._unlisten()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait(self) -> None:
        """Wait for the last step; for ever where one repeats without end."""
        if self._task is not None:
            await asyncio.shield(self._task)

    def _on_entry(self, entry: Entry) -> None:
        if entry["event"] == self.scenario.begin:
            self.begin()
        for count in self._waits.values():
            count.take(entry)

    async def _play(self) -> None:
        await self._began.wait()
        scenario, ledger = self.scenario, self._gateway.ledger
        ledger.note("scenario", name=scenario.name, seed=scenario.seed)
        async with asyncio.TaskGroup() as group:
            for number, step in enumerate(scenario.steps):
                # A source of its own for each step: what it draws depends on no other's timing.
                random = Random(f"{scenario.seed}/{number}")
                group.create_task(self._step(number, step, random))
        ledger.note("scenario_ended", name=scenario.name)

    async def _step(self, number: int, step: Step, random: Random) -> None:
        done = 0
        while step.times is None or done < step.times:
            if step.after is not None:
                await self._waits[number].reached()
                await self._sleep(drawn(step.delay, random))
            else:
                await self._sleep(drawn(step.at if step.every is None else step.every, random))
            done += 1
            if not await self._do(number, step, random) or step.at is not None:
                return

    async def _do(self, number: int, step: Step, random: Random) -> bool:
        arguments = {key: drawn(value, random) for key, value in step.arguments.items()}
        if "seconds" in arguments and step.do not in UNSCALED:
            arguments["seconds"] *= self._scale
        try:
            await self._gateway.control.command({"do": step.do, **arguments})
        except Exception as error:  # noqa: BLE001  kept, noted, and raised by the gateway's stop
            self.failure = self.failure or error
            text = f"{type(error).__name__}: {error}"
            name = self.scenario.name
            self._gateway.ledger.note("scenario_failed", name=name, step=number + 1, text=text)
            return False
        return True

    async def _sleep(self, seconds: Any) -> None:
        await self._gateway.clock.sleep(seconds * self._scale)


class _Count:
    """Counts the ledger's entries that a step waits for."""

    def __init__(self, after: After) -> None:
        self._after = after
        self._seen = 0
        self._enough = asyncio.Event()

    def take(self, entry: Mapping[str, Any]) -> None:
        if entry["event"] == self._after.event and all(
            key in entry and str(entry[key]) == str(value)
            for key, value in self._after.facts.items()
        ):
            self._seen += 1
            if self._seen >= self._after.count:
                self._enough.set()

    async def reached(self) -> None:
        """Wait for the count, and begin to count anew."""
        await self._enough.wait()
        self._seen -= self._after.count
        if self._seen < self._after.count:
            self._enough.clear()
