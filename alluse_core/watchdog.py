"""The dead man's switch: watches another process's heart, and acts once when it stops.

TWS cancels nothing when a connection is lost, and a dead process cannot act. The watchdog is a
process of its own; where it acts on orders it opens a runtime on the dead process's state, under
the same order client id, since a broker lets only the submitting id cancel. Orders of people and
of other clients are not its own and stay.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import attrs

from alluse_core.errors import AllUseError, BrokerUnavailable, SettingsError, StateLocked
from alluse_core.heartbeat import Beat
from alluse_core.runtime import Runtime
from alluse_core.runtime import open as open_runtime
from alluse_core.settings import Settings

LOG = "watchdog.jsonl"
_RETRY = 1.0
_POLL = 0.2
_PAGE_SECONDS = 30.0


class Deed(StrEnum):
    """What to do when the heart stops; a person is paged in any case."""

    PAGE = "page"
    CANCEL = "cancel"
    FLATTEN = "flatten"


class Pulse(StrEnum):
    """What a look at the heart says. UNSEEN: it never beat while watched."""

    UNSEEN = "unseen"
    BEATING = "beating"
    ENDED = "ended"
    STOPPED = "stopped"


class Vigil:
    """Judges a heart by the watcher's own monotonic clock, after ``after`` seconds of stillness.

    ``most`` is the longest pause between two looks: after a longer one the watcher itself was
    held up, so the stillness is counted anew.
    """

    def __init__(self, after: float, most: float) -> None:
        self._after = after
        self._most = most
        self._known: Beat | None = None
        self._changed = self._looked = 0.0

    @property
    def last(self) -> Beat | None:
        """The newest beat seen."""
        return self._known

    def look(self, beat: Beat | None, now: float) -> Pulse:
        """Take what was seen at monotonic ``now``; None: no heart was there, or it was mute."""
        late = now - self._looked > self._most
        self._looked = now
        if beat is not None and beat != self._known:
            first, self._known, self._changed = self._known is None, beat, now
            if not beat.ended:
                # One that stands still from the first look on may be dead already: no beat yet.
                return Pulse.UNSEEN if first else Pulse.BEATING
        if self._known is None:
            return Pulse.UNSEEN
        if self._known.ended:
            return Pulse.ENDED
        if late:
            self._changed = now
        return Pulse.STOPPED if now - self._changed >= self._after else Pulse.BEATING


class Record:
    """The watchdog's own journal: one JSON object a line, on disk before it goes on."""

    def __init__(self, path: Path, tell: Callable[[dict[str, Any]], None]) -> None:
        self._path = path
        self._tell = tell

    def write(self, event: str, **fields: Any) -> None:
        """Add a line."""
        body = {"time": datetime.now(UTC).isoformat(), "event": event, **fields}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(body) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._tell(body)

    def acted_on(self, incarnation: str) -> bool:
        """Whether a watchdog acted for this incarnation before: it acts once."""
        try:
            lines = self._path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        for line in lines:
            try:
                body = json.loads(line)
            except ValueError:
                # A line torn by a power cut says nothing, and must not keep it from acting.
                continue
            if body.get("event") == "acts" and body.get("incarnation") == incarnation:
                return True
        return False


@attrs.frozen
class Plan:
    """How to watch and what to do. Times are seconds.

    ``read`` returns the newest beat of what ``heart`` names. ``page`` is a command line, without a
    shell, that gets the record as JSON on its standard input. ``patience``: how long answers are
    waited for.
    """

    settings: Settings
    state: Path
    read: Callable[[], Beat | None]
    after: float
    deed: Deed
    page: str = ""
    patience: float = 120.0
    dry_run: bool = False
    heart: str = ""


class Watchdog:
    """Watches until it has acted."""

    def __init__(self, plan: Plan, record: Record) -> None:
        self._plan = plan
        self._record = record
        self._every = min(1.0, plan.after / 4)
        # A mute port takes its time-out of three seconds to say so.
        self._vigil = Vigil(plan.after, max(4 * self._every, 5.0))

    async def run(self) -> None:
        """Return once the heart stopped and what was to be done is done.

        Raises SettingsError where it could not do it, before it begins to watch.
        """
        plan, told = self._plan, None
        if plan.deed is not Deed.PAGE:
            self._runtime()
        self._record.write("watches", after=plan.after, deed=plan.deed, dry_run=plan.dry_run)
        begun, unseen = time.monotonic(), True
        while True:
            pulse = await self._look()
            beat = self._vigil.last
            if unseen and pulse is Pulse.UNSEEN and time.monotonic() - begun >= plan.after:
                unseen = False
                await self._warn_of_no_heart()
            if pulse is Pulse.STOPPED and beat is not None:
                if not self._record.acted_on(beat.incarnation):
                    if await self._act(beat):
                        return
                elif told is not beat:
                    told = beat
                    self._record.write("acted before", incarnation=beat.incarnation)
            await asyncio.sleep(self._every)

    async def _look(self) -> Pulse:
        beat = await asyncio.to_thread(self._plan.read)
        return self._vigil.look(beat, time.monotonic())

    async def _act(self, beat: Beat) -> bool:
        """Page, then do the deed; False: the heart beats again, so nothing was done."""
        plan, who = self._plan, attrs.asdict(beat)
        self._record.write("heart stopped", **who, after=plan.after)
        if plan.dry_run:
            self._record.write("dry run", would=plan.deed, page=plan.page)
            return True
        await self._page({"event": "heart stopped", **who, "deed": plan.deed.value})
        if plan.deed is Deed.PAGE:
            self._record.write("acts", incarnation=beat.incarnation, deed=plan.deed)
            return True
        return await self._take_over(beat)

    async def _warn_of_no_heart(self) -> None:
        """Say, once, that there is nothing to watch: a guard of nobody looks like a quiet one."""
        problem = f"no heart beats at {self._plan.heart or self._plan.state}"
        hint = "start the trading process, or mend --state, --connect or the token"
        self._record.write("no heart", problem=problem, hint=hint)
        await self._page({"event": "no heart", "problem": problem, "hint": hint})

    def _runtime(self) -> Runtime:
        """Return the runtime to act with: the dead process's own, without a heart."""
        plan = self._plan
        settings = Settings.load(plan.settings, overrides={"heartbeat.every": 0})
        if not settings.brokers:
            raise SettingsError(
                f"no broker is configured, so nothing could be done ({plan.deed.value})",
                hint="name the settings of the trading process with --config",
            )
        return open_runtime(settings, state=plan.state)

    async def _page(self, body: dict[str, Any]) -> None:
        if not self._plan.page:
            return
        try:
            process = await asyncio.create_subprocess_exec(
                *shlex.split(self._plan.page), stdin=asyncio.subprocess.PIPE
            )
        except (OSError, ValueError) as error:
            self._record.write("page failed", problem=str(error))
            return
        try:
            await asyncio.wait_for(process.communicate(json.dumps(body).encode()), _PAGE_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
        self._record.write("paged", exit_code=process.returncode)

    async def _take_over(self, beat: Beat) -> bool:
        """Open the dead process's state and orders as soon as it has let go of them."""
        plan, said = self._plan, ""
        while True:
            if await self._look() is not Pulse.STOPPED:
                self._record.write("beats again", incarnation=beat.incarnation)
                return False
            try:
                async with self._runtime() as runtime:
                    self._record.write("acts", incarnation=beat.incarnation, deed=plan.deed)
                    await self._do(runtime)
                return True
            except (StateLocked, BrokerUnavailable) as error:
                # A process that hangs holds its state and its client id: a person must end it.
                if str(error) != said:
                    said = str(error)
                    self._record.write("waits", problem=said, hint=error.hint)
                    await self._page({"event": "waits", "problem": said, "hint": error.hint})
                await asyncio.sleep(_RETRY)
            except AllUseError as error:
                # It ends with this error, and nobody may believe that it acted.
                self._record.write("failed", problem=str(error), hint=error.hint)
                await self._page({"event": "failed", "problem": str(error), "hint": error.hint})
                raise

    async def _do(self, runtime: Runtime) -> None:
        plan, orders = self._plan, runtime.orders
        await self._until(lambda: not orders.reconciling, None)
        chosen = {ticket.key for ticket in orders.increasing()}
        kept = sorted({each.key for each in orders.all() if not each.state.is_terminal} - chosen)
        await orders.halt(f"the watchdog found the heart still for {plan.after:g} s")
        if plan.deed is Deed.FLATTEN:
            await orders.begin_flatten()
        await self._until(
            lambda: not orders.increasing() and not orders.flattening and not orders.reconciling,
            plan.patience,
        )
        left = sorted(ticket.key for ticket in orders.increasing())
        self._record.write(
            "done",
            cancelled=sorted(chosen - set(left)),
            kept=kept,
            left=left,
            positions=[f"{row.quantity} {row.instrument.id}" for row in orders.positions().rows],
        )

    async def _until(self, done: Callable[[], bool], patience: float | None) -> None:
        end = time.monotonic() + (self._plan.patience if patience is None else patience)
        while not done() and time.monotonic() < end:
            await asyncio.sleep(_POLL)
