"""The start and stop of the order path, and what is looked after each second between them."""

from __future__ import annotations

import asyncio
import logging

from alluse_core.clock import Clock
from alluse_core.errors import BrokerError
from alluse_core.model import AccountMode
from alluse_core.orders.records import Kind
from alluse_core.orders.states import Event
from alluse_core.orders.wiring import Parts
from alluse_core.settings import OrdersSettings

_log = logging.getLogger(__name__)
_WATCH_PERIOD = 1.0


class Life:
    """Starts and stops the parts. ``started`` holds from the one to the other."""

    def __init__(self, parts: Parts, settings: OrdersSettings, clock: Clock) -> None:
        self._parts = parts
        self._settings = settings
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        self.started = False

    async def start(self) -> None:
        """Open for orders, once all brokers were asked for their evidence."""
        if self.started:
            return
        parts = self._parts
        self.started = parts.intake.started = True
        body = {"brokers": sorted(parts.brokers), "problem": parts.journal.problem}
        parts.journal.append(parts.journal.scribe.row(Kind.START, body))
        for outbox in parts.outboxes.values():
            outbox.start(parts.background)
        for name in parts.brokers:
            needed = self._needs_approval(name)
            parts.approval.begin(name, parts.archive.reader(), needed=needed)
        parts.canary.begin()
        await asyncio.gather(*(self.ask(name) for name in parts.reconcilers))
        self._name_what_is_out_of_reach()
        self._tasks = [
            parts.background.task(f"reconcile-{name}", reconciler.run)
            for name, reconciler in parts.reconcilers.items()
        ]
        watches = {"order-watch": self._watch, "stopping": self._stop_risk, "trimming": self._trim}
        self._tasks += [parts.background.task(name, watch) for name, watch in watches.items()]

    async def stop(self) -> None:
        """Stop sending and asking; orders at the broker stay as they are."""
        parts = self._parts
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for outbox in parts.outboxes.values():
            await outbox.stop()
        parts.archive.close()
        parts.intake.started = False
        if self.started:
            self.started = False
            await parts.journal.flushed()
            self.withdraw_unsent()
            await parts.journal.flushed()

    def withdraw_unsent(self) -> None:
        """Withdraw what provably never left: it must not come back as UNKNOWN after a start."""
        for live in self._parts.book.live():
            if live.unsent:
                live.unsent = False
                reason = "stopped before it was sent"
                self._parts.applier.happen(live, Event.WITHDRAW, "stop", reason)

    async def ask(self, broker: str) -> None:
        """Ask a broker for all evidence; where that fails, it is asked again by itself."""
        reconciler = self._parts.reconcilers[broker]
        with self._parts.background.guarded(f"reconcile-{broker}"):
            try:
                await reconciler.round()
                return
            except BrokerError as error:
                _log.warning("evidence of %s could not be had: %s", broker, error)
        reconciler.want()

    def _name_what_is_out_of_reach(self) -> None:
        for live in self._parts.book.live():
            if live.order.broker not in self._parts.brokers:
                _log.error(
                    "order %r is %s at broker %r, which the settings do not name any more: it"
                    " counts, and can be neither watched nor cancelled from here",
                    live.key,
                    live.state.value,
                    live.order.broker,
                )

    def _needs_approval(self, name: str) -> bool:
        broker, settings = self._parts.brokers[name], self._settings
        if settings.approve_start or not broker.accounts:
            # A broker that is away has not said yet whether its accounts are live.
            return settings.approve_start or bool(settings.live_account)
        return AccountMode.LIVE in {broker.account_mode(account) for account in broker.accounts}

    async def _watch(self) -> None:
        parts, guarded = self._parts, self._parts.background.guarded
        while True:
            await self._clock.sleep(_WATCH_PERIOD)
            # Each step apart: none may keep those after it from being done.
            with guarded("journal-retry"):
                parts.journal.retry()
                parts.journal.sign_off()
            with guarded("protection"):
                parts.protection.tend()
                parts.protection.look()
            for name in parts.brokers:
                with guarded(f"overdue-{name}"):
                    parts.overdue.ask(name)

    # These wait for the disk, and so each has a turn of its own: while it hangs, what tells of
    # that, and of what is unprotected, goes on.

    async def _stop_risk(self) -> None:
        while True:
            await self._clock.sleep(_WATCH_PERIOD)
            with self._parts.background.guarded("stopping"):
                await self._parts.control.pursue()

    async def _trim(self) -> None:
        while True:
            await self._clock.sleep(_WATCH_PERIOD)
            with self._parts.background.guarded("trimming"):
                await self._parts.trimming.tend()
