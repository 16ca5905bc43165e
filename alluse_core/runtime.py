"""What an agent holds: the services, wired together from settings and plugins."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from alluse_core.analysis.loader import specify
from alluse_core.analysis.service import Analysis
from alluse_core.clock import Clock, SystemClock
from alluse_core.cycles import Cycle, SchedulerDriver, VirtualDriver
from alluse_core.errors import PluginError, RuntimeClosed, SettingsError, UsageError
from alluse_core.heartbeat import Heart
from alluse_core.installation import TABLES, check_names, load_host, settings_types
from alluse_core.model import (
    AccountMode,
    AccountValue,
    Evidence,
    Instrument,
    InstrumentDefinition,
    NodeIdentity,
    Position,
    Quote,
    Snapshot,
)
from alluse_core.monitor.alerts import AlertEngine
from alluse_core.monitor.collector import Collector
from alluse_core.monitor.sources import BrokersSource
from alluse_core.orders.committer import Committer
from alluse_core.orders.journal import Journal
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.orders.requests import Counter
from alluse_core.orders.service import Orders
from alluse_core.orders.user_rules import classifier
from alluse_core.ports import Broker, MetricStore, ReportRequest
from alluse_core.providers import Context
from alluse_core.quotes.service import Quotes
from alluse_core.redaction import Redaction
from alluse_core.settings import DEFAULT_STAGES, Settings
from alluse_core.spool import Spool
from alluse_core.state import JOURNAL, METRICS, StateFolder, state_path
from alluse_core.telemetry import Registry

_log = logging.getLogger(__name__)
_REQUESTS_PERIOD = 0.5


def open(
    source: Path | str | Mapping[str, Any] | Settings | None = None,
    *,
    plugins: Sequence[object] = (),
    overrides: Mapping[str, Any] | None = None,
    state: Path | str | None = None,
    clock: Clock | None = None,
    committer: Committer | None = None,
) -> Runtime:
    """Return a runtime to enter with ``async with``.

    ``source`` is a path, a mapping or Settings; None reads ``alluse.toml`` of the working folder.
    ``overrides`` maps dotted settings to values. ``state`` puts both databases into this very
    folder instead of the settings' state folder. ``committer`` writes the journal's batches; a
    thread does unless a simulation hands in another. It owns no event loop, signal or logger.
    """
    settings = Settings.load(source, overrides=overrides)
    return Runtime(settings, plugins=plugins, state=state, clock=clock, committer=committer)


class Metrics:
    """What was measured, as an agent reads it."""

    def __init__(self, collector: Collector, store: MetricStore, registry: Registry) -> None:
        self._collector = collector
        self.store = store
        self.registry = registry

    def latest(self) -> Mapping[Any, float]:
        """Return the samples of the newest tick, by series."""
        return self._collector.latest_samples()


class Runtime:
    """One agent's services, from ``async with alluse.open(...)`` to its end.

    ``orders``, ``quotes``, ``metrics`` and ``alerts`` hold once it is entered.
    """

    orders: Orders
    quotes: Quotes
    metrics: Metrics
    alerts: AlertEngine

    def __init__(
        self,
        settings: Settings,
        *,
        plugins: Sequence[object] = (),
        state: Path | str | None = None,
        clock: Clock | None = None,
        committer: Committer | None = None,
    ) -> None:
        self.settings = settings
        self._committer = committer
        self.host = load_host(settings, plugins)
        check_names(settings, self.host)
        self._types = settings_types(settings, self.host)
        self._classify = classifier(settings.orders.errors)
        self.clock: Clock = clock or SystemClock()
        self.registry = Registry()
        agent = settings.alluse
        self.node = NodeIdentity(
            agent.tenant, agent.node or socket.gethostname(), agent.agent, uuid.uuid4().hex[:12]
        )
        self._folder = StateFolder(Path(state) if state else state_path(settings))
        self._stack = AsyncExitStack()
        self._entered = self._closed = False
        self._pacers: dict[str, SlidingWindowPacer] = {}
        self._analysis: Analysis | None = None
        self.brokers: dict[str, Broker] = {}

    @property
    def redaction(self) -> Redaction:
        """Hides the secrets of settings and plugins; a filter for your own log handlers."""
        return self.host.redaction

    @property
    def state(self) -> Path:
        """The folder of journal.db and metrics.db."""
        return self._folder.path

    async def __aenter__(self) -> Self:
        self._refuse_second_entry()
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        self._entered = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        await self._stack.aclose()

    def _refuse_second_entry(self) -> None:
        # What a plugin was opened with, and what was counted, belongs to the first entry.
        if self._closed:
            raise RuntimeClosed(
                "the runtime is closed, and is not entered again",
                hint="open another: 'async with alluse.open(...)'",
            )
        if self._entered:
            raise UsageError(
                "this runtime is open already", hint="open another for another 'async with'"
            )

    def positions(self) -> Snapshot[Position]:
        """Return what the accounts hold, as last told by the brokers."""
        return self.orders.positions()

    def account(self) -> Snapshot[AccountValue]:
        """Return the accounts' figures, as last told by the brokers."""
        return self.orders.account_values()

    @property
    def mode(self) -> AccountMode:
        """PAPER where every account is; LIVE as soon as one is."""
        modes = {
            broker.account_mode(account)
            for broker in self.brokers.values()
            for account in broker.accounts
        }
        if AccountMode.LIVE in modes:
            return AccountMode.LIVE
        return AccountMode.PAPER if modes == {AccountMode.PAPER} else AccountMode.UNKNOWN

    async def report(self, out: Path | str) -> list[Path]:
        """Write all reports into ``out`` from the two databases; return what was written."""
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        await self.orders.flush()
        if not self.metrics.latest():
            # Ended before the first tick: what can be measured is measured now.
            self._monitor_tick()
        if self._analysis is not None:
            # The report speaks of the session up to now, not up to the last cycle.
            await self._analysis.catch_up()
        await asyncio.to_thread(self.metrics.store.flush)
        request = ReportRequest(
            folder,
            self.state / METRICS,
            self.state / JOURNAL,
            {path: value for path, value, _ in self.settings.effective(self._types)},
        )
        written: list[Path] = []
        for name in self.settings.report.reporters or self.host.names("reporter"):
            reporter = self._open("reporter", name)
            written += await asyncio.to_thread(reporter.write, request)
        return written

    # --- assembly -------------------------------------------------------------------------------

    async def _start(self) -> None:
        self._stack.enter_context(self._folder)
        await self._start_heart()
        journal = Journal(
            self.state / JOURNAL, clock=self.clock, node=self.node, committer=self._committer
        )
        self._stack.callback(journal.close)
        store: MetricStore = self._open("store", self.settings.monitor.store)
        self._stack.callback(store.close)
        self._open_brokers()
        self.orders = self._assemble_orders(journal)
        self.quotes = self._assemble_quotes()
        self._assemble_monitor(store)
        await self._connect()
        self._refuse_unguarded_account()
        await self.quotes.start()
        self._stack.push_async_callback(self.quotes.stop)
        await self.orders.start()
        self._stack.push_async_callback(self.orders.stop)
        for part in (self._collector, self.alerts):
            await part.start()
            self._stack.push_async_callback(part.stop)
        await self._start_cycles(store)

    async def _start_heart(self) -> None:
        """Beat from the first moment on: a start that takes long is not a death."""
        wanted = self.settings.heartbeat
        if not wanted.every or not self._real:
            return
        heart = Heart(
            self.state, self.node.incarnation, self._trading_state, wanted.every, wanted.port
        )
        await heart.start()
        self._stack.push_async_callback(heart.stop)

    def _trading_state(self) -> str:
        return self.orders.state.value if hasattr(self, "orders") else "starting"

    @property
    def _real(self) -> bool:
        # A person and a watchdog live in real time: nobody reaches a simulated process.
        return isinstance(self.clock, SystemClock)

    def _open_brokers(self) -> None:
        if not self.settings.brokers:
            raise SettingsError(
                "no broker is configured",
                hint='add a table such as [brokers.main] with provider = "ibkr" or "paper"',
            )
        for name, provider in self.settings.brokers.items():
            pacer = SlidingWindowPacer(self.clock, 0.0)
            broker: Broker = self._open("broker", name, provider=provider, pacer=pacer)
            if self.settings.orders.pacing:
                pacer.limit(broker.capabilities.messages_per_second)
            pacer.instrument(self.registry, name)
            self._pacers[name] = pacer
            self.brokers[name] = broker
            self._stack.push_async_callback(broker.close)

    def _assemble_orders(self, journal: Journal) -> Orders:
        stages = tuple(self._open("stage", name) for name in self.settings.orders.stages)
        return Orders(
            brokers=self.brokers,
            pacers=self._pacers,
            stages=stages,
            journal=journal,
            clock=self.clock,
            telemetry=self.registry,
            settings=self.settings.orders,
            node=self.node,
            quote=self._newest_quote,
            definition=self._definition,
            told=self.redaction.told,
        )

    def _assemble_quotes(self) -> Quotes:
        name = self.settings.quotes.broker or self.settings.orders.default_broker
        name = name or next(iter(self.brokers))
        return Quotes(
            broker=self.brokers[name],
            cache=self._open("cache", self.settings.quotes.cache),
            clock=self.clock,
            telemetry=self.registry,
            settings=self.settings.quotes,
            needed=self._instruments_at_work,
            pace=self._pacers[name].seconds_for,
        )

    def _instruments_at_work(self) -> Collection[Instrument]:
        return self.orders.instruments_at_work

    def _assemble_monitor(self, store: MetricStore) -> None:
        sources = [
            BrokersSource(self.brokers),
            *self._open_all("source", self.settings.monitor.off),
        ]
        self._collector = Collector(
            registry=self.registry,
            sources=sources,
            store=store,
            clock=self.clock,
            node=self.node,
            period=self.settings.monitor.period,
        )
        self.metrics = Metrics(self._collector, store, self.registry)
        self.alerts = AlertEngine(
            rules=self._open_all("rule", self.settings.alerts.off),
            store=store,
            clock=self.clock,
            view=self._collector,
            telemetry=self.registry,
            notifiers=[self._open("notifier", name) for name in self.settings.alerts.notify],
            period=self.settings.monitor.period,
            told=self.redaction.told,
        )

    async def _connect(self) -> None:
        tasks = [asyncio.create_task(broker.connect()) for broker in self.brokers.values()]
        try:
            await asyncio.gather(*tasks)
        finally:
            # One broker that cannot be reached ends the start: the others must not go on
            # connecting behind the error that the caller sees.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _refuse_unguarded_account(self) -> None:
        missing = [name for name in DEFAULT_STAGES if name not in self.settings.orders.stages]
        if self.mode is not AccountMode.PAPER and missing:
            raise SettingsError(
                f"an account that is {self.mode.value} needs the risk stages {missing} as well",
                hint="leave [orders] stages at its default, or add them",
            )

    async def _start_cycles(self, store: MetricStore) -> None:
        settings = self.settings
        cycles = [
            Cycle("monitor", settings.monitor.period, self._monitor_tick),
            Cycle("quotes", self.quotes.refresh_period, self._refresh_quotes),
            Cycle("reconcile", settings.orders.reconcile_every, self.orders.reconcile_all),
        ]
        analyzers = [
            name for name in self.host.names("analyzer") if name not in settings.analysis.off
        ]
        if analyzers:
            self._analysis = self._assemble_analysis(analyzers, store)
            self._stack.push_async_callback(self._analysis.stop)
            cycles.append(Cycle("analysis", settings.analysis.period, self._analysis.tick))
        if self._real:
            spool = Spool(self.state)
            spool.clear()
            counter = Counter(self.orders, spool)
            self._stack.push_async_callback(counter.stop)
            cycles.append(Cycle("requests", _REQUESTS_PERIOD, counter.take))
        # APScheduler reads the machine's own clock: in virtual time it would run nothing.
        driver = (SchedulerDriver if self._real else VirtualDriver)(
            cycles, self.clock, self.registry
        )
        await driver.start()
        self._stack.push_async_callback(driver.stop)

    def _assemble_analysis(self, names: Sequence[str], store: MetricStore) -> Analysis:
        specs = []
        for name in names:
            provider = self.host.provider("analyzer", name)
            settings_type: Any = provider.settings_type
            own = self.settings.table(f"{TABLES['analyzer']}.{name}", settings_type)
            try:
                specs.append(specify(provider, own))
            except PluginError as error:
                _log.error("%s", error)
        return Analysis(
            specs=specs,
            store=store,
            clock=self.clock,
            telemetry=self.registry,
            settings=self.settings.analysis,
            step=self.settings.monitor.period,
        )

    def _monitor_tick(self) -> None:
        self._collector.tick()
        self.alerts.tick()

    def _refresh_quotes(self) -> None:
        self.quotes.refresh(self.clock.monotonic())

    # --- opening --------------------------------------------------------------------------------

    def _open_all(self, kind: str, off: Sequence[str]) -> list[Any]:
        """Open every provider of a kind that is not off; one that fails is named and left out."""
        opened = []
        for name in self.host.names(kind):
            if name in off:
                continue
            try:
                opened.append(self._open(kind, name))
            except PluginError as error:
                _log.error("%s", error)
        return opened

    def _open(
        self,
        kind: str,
        name: str,
        *,
        provider: str | None = None,
        pacer: SlidingWindowPacer | None = None,
    ) -> Any:
        offered = provider or name
        path = f"{TABLES[kind]}.{name}"
        settings_type: Any = self.host.provider(kind, offered).settings_type
        own = self.state if kind == "store" else self._folder.of(TABLES[kind], name)
        context = Context(
            name=name,
            clock=self.clock,
            telemetry=self.registry,
            settings=self.settings.table(path, settings_type),
            state_dir=own,
            secret=self.redaction.secret,
            evidence=self._evidence if kind == "broker" else _nowhere,
            pacer=pacer or SlidingWindowPacer(self.clock, 0.0),
            classify=self._classify,
        )
        return self.host.open(kind, offered, context)

    def _evidence(self, item: Evidence) -> None:
        self.orders.evidence(item)

    def _newest_quote(self, instrument: Instrument) -> Quote | None:
        return self.quotes.newest(instrument)

    def _definition(self, broker: str, instrument: Instrument) -> InstrumentDefinition | None:
        return self.quotes.definition(broker, instrument)


def _nowhere(_: Evidence) -> None:
    """Only brokers have evidence to give."""
