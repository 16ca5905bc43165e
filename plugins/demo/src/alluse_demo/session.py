"""One demo session: gateway, runtime, agent, incident and screen, from start to report."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

import alluse_core as alluse
from alluse_core import Instrument, Runtime, SecurityType
from alluse_core.errors import AllUseError
from alluse_core.model import SeriesId
from alluse_demo import incident as incidents
from alluse_demo import profile
from alluse_demo.agent import Agent
from alluse_demo.gateway import GatewayProcess, running_gateway
from alluse_demo.incident import Incident, IncidentKind
from alluse_demo.screen import Row, Screen, View

_HEADLINE = (
    ("trading_system", "throughput_ops_sec", Row("orders", None, "/s", plain=True)),
    ("trading_system", "latency_ms", Row("order latency", None, "ms", plain=True)),
    ("trading_system", "error_rate", Row("order errors", None, "%", 2, plain=True)),
    ("market_data_system", "throughput_ops_sec", Row("quote reads", None, "/s")),
    ("market_data_system", "cache_hit_rate", Row("cache hits", None, "%", plain=True)),
    ("ibkr_integration", "operation_latency_ms", Row("broker round trip", None, "ms")),
    ("system_resources", "cpu_percent", Row("processors busy", None, "%", 0)),
    ("system_resources", "memory_usage_mb", Row("memory", None, "MB", 0)),
)
_AGENT_SYMBOLS = 20
_LOGGERS = ("alluse_core", "alluse_ibkr", "alluse_analytics", "apscheduler", Agent.__module__)
_NAMES_AND_NUMBERS = re.compile(r"'[^']*'|[A-Z]+:\S+|\d[\d.,]*")


@attrs.frozen
class Options:
    """What the command line asked for."""

    seconds: float
    out: Path
    seed: int
    speed: float
    replay: Path | None = None
    incident: IncidentKind | None = None


class Session:
    """Runs one session. ``events`` tells what happened, in words, as it happens."""

    def __init__(self, options: Options, screen: Screen, stop: asyncio.Event) -> None:
        self._options = options
        self._screen = screen
        self._stop = stop
        self.events: list[str] = []
        self._told_alerts: dict[str, str] = {}
        self._view: View | None = None

    async def run(self) -> list[Path]:
        """Run until the time is over or ``stop`` is set; return the paths of what was written."""
        options = self._options
        planned = incidents.plan(options.seed, options.seconds, options.incident)
        with _listening(_Words(self._tell)):
            async with running_gateway(_gateway_options(options)) as gateway:
                settings = profile.settings(gateway.port, options.seconds)
                async with alluse.open(settings, state=options.out) as runtime:
                    self._tell(f"connected to the simulated gateway on port {gateway.port}")
                    await self._trade(runtime, gateway, planned)
                    self._tell("writing the report")
                    return await runtime.report(options.out)

    async def _trade(self, runtime: Runtime, gateway: GatewayProcess, planned: Incident) -> None:
        instruments = await _stocks(gateway)
        loop = asyncio.get_running_loop()
        started = loop.time()
        over = asyncio.Event()
        agent = asyncio.create_task(Agent(runtime, instruments).trade(over), name="agent")
        trouble = asyncio.create_task(self._incident(planned, gateway, started), name="incident")
        try:
            while not self._stop.is_set() and loop.time() - started < self._options.seconds:
                self._show(runtime, instruments, loop.time() - started)
                self._complain(agent)
                await _wait(self._stop, 0.5)
        finally:
            over.set()
            trouble.cancel()
            await asyncio.gather(trouble, return_exceptions=True)
            await self._leave(agent)

    async def _leave(self, agent: asyncio.Task[None]) -> None:
        done, _ = await asyncio.wait([agent], timeout=3.0)
        if not done:
            agent.cancel()
        results = await asyncio.gather(agent, return_exceptions=True)
        for error in results:
            if isinstance(error, Exception):
                self._tell(f"the agent ended with {type(error).__name__}: {error}")

    async def _incident(self, planned: Incident, gateway: GatewayProcess, started: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, started + planned.at - loop.time()))
        await incidents.begin(planned, gateway)
        self._tell(f"INCIDENT {planned.kind.value}: {planned.text}")
        await asyncio.sleep(max(0.0, started + planned.until - loop.time()))
        await incidents.end(planned, gateway)
        self._tell(f"incident over: {planned.kind.value}")

    def _complain(self, agent: asyncio.Task[None]) -> None:
        if agent.done() and not self._stop.is_set():
            # An agent that died must not leave a dull minute without a word.
            error = agent.exception()
            raise AllUseError(f"the example agent ended early: {error!r}") from error

    def _show(self, runtime: Runtime, instruments: Sequence[Instrument], seconds: float) -> None:
        self._tell_alerts(runtime)
        latest = runtime.metrics.latest()
        counts = Counter(record.state.value for record in runtime.orders.all())
        firing = [f"{alert.severity.value} {alert.text}" for alert in runtime.alerts.active()]
        broker = next(iter(runtime.brokers.values()))
        self._view = View(
            seconds=seconds,
            total=self._options.seconds,
            mode=runtime.mode.value.upper(),
            link=broker.link.value,
            headline=tuple(
                attrs.evolve(row, value=_unlabelled(latest, component, metric))
                for component, metric, row in _HEADLINE
            ),
            orders=dict(sorted(counts.items())),
            quotes=tuple(_quote_row(runtime, instrument) for instrument in instruments),
            alerts=tuple(firing),
            events=tuple(self.events),
        )
        self._screen.show(self._view)

    def _tell_alerts(self, runtime: Runtime) -> None:
        for alert in runtime.alerts.history():
            state = alert.state.value
            if self._told_alerts.get(alert.id) != state and state in ("firing", "resolved"):
                self._told_alerts[alert.id] = state
                # A resolved alert keeps the last reading that was bad.
                which = "last bad reading: " if state == "resolved" else ""
                self._tell(f"ALERT {state}: {alert.rule}: {which}{alert.text}")

    def _tell(self, text: str) -> None:
        self.events.append(text)
        if self._view is not None:
            self._view = attrs.evolve(self._view, events=tuple(self.events))
            self._screen.show(self._view)


class _Words(logging.Handler):
    """Hands what is logged to the screen; sentences that differ in names and numbers only, once."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        kind = _NAMES_AND_NUMBERS.sub("", text)
        if kind not in self._told:
            self._told.add(kind)
            who = "agent" if record.name == Agent.__module__ else record.levelname.lower()
            self._tell(f"{who}: {text}")


@contextmanager
def _listening(handler: logging.Handler) -> Iterator[None]:
    """Let ``handler`` hear what the libraries here log: a drawn screen must not be written over."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def _gateway_options(options: Options) -> list[str]:
    more = ["--replay", str(options.replay)] if options.replay is not None else []
    return ["--seed", str(options.seed), "--speed", str(options.speed), *more]


async def _stocks(gateway: GatewayProcess) -> list[Instrument]:
    """Return the shares that the gateway lists, at most as many as the agent trades."""
    answer = await gateway.control({"do": "status"})
    listed = [Instrument.parse(text) for text in answer["instruments"]]
    stocks = [item for item in listed if item.security_type is SecurityType.STOCK]
    if not stocks:
        raise AllUseError(
            "the market has no shares, and the example agent trades shares",
            hint="replay a recording of shares, or none",
        )
    return stocks[:_AGENT_SYMBOLS]


def _unlabelled(latest: object, component: str, metric: str) -> float | None:
    if not hasattr(latest, "items"):
        return None
    return next(
        (
            value
            for series, value in latest.items()
            if isinstance(series, SeriesId)
            and (series.component, series.metric, series.labels) == (component, metric, ())
        ),
        None,
    )


def _quote_row(runtime: Runtime, instrument: Instrument) -> tuple[str, float, float, float, str]:
    quote = runtime.quotes.newest(instrument)
    if quote is None:
        nothing = float("nan")
        return (str(instrument), nothing, nothing, nothing, "none yet")
    mark = "" if quote.priceable else f"{quote.condition.value} {quote.data_type.value}"
    age = quote.age(runtime.clock.monotonic())
    return (str(instrument), quote.bid, quote.ask, age, mark)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
