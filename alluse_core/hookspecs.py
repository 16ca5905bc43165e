"""The registration hooks.

Each is synchronous, called once while the host starts, plugin by plugin, and yields frozen
records. Open nothing and import nothing heavy in a hook: the host opens what the settings name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from alluse_core.markers import hookspec
from alluse_core.providers import Command, Provider

if TYPE_CHECKING:
    from alluse_core.ports import (
        AlertRule,
        Analyzer,
        Broker,
        MetricSource,
        MetricStore,
        Notifier,
        OrderStage,
        QuoteCache,
        Reporter,
    )


@hookspec
def alluse_brokers() -> Iterable[Provider[Broker]]:  # type: ignore[empty-body]
    """Offer broker connections.

    Yield one provider per venue. A broker is opened once for each ``[brokers.NAME]`` table whose
    ``provider`` names it, and only then: installed is not enabled.

    >>> from alluse_core import Provider, hookimpl
    >>> @hookimpl
    ... def alluse_brokers():
    ...     yield Provider("acme", lambda context: AcmeBroker(context))
    """


@hookspec
def alluse_caches() -> Iterable[Provider[QuoteCache]]:  # type: ignore[empty-body]
    """Offer quote caches. ``[quotes] cache`` names the one that is opened.

    >>> from alluse_core import Provider, hookimpl
    >>> @hookimpl
    ... def alluse_caches():
    ...     yield Provider("lru", lambda context: LruCache(context))
    """


@hookspec
def alluse_order_stages() -> Iterable[Provider[OrderStage]]:  # type: ignore[empty-body]
    """Offer checks that every order passes. ``[orders] stages`` names those that run.

    They are ordered once, by phase and then as the settings list them, into a tuple.

    >>> from alluse_core import Provider, hookimpl
    >>> @hookimpl
    ... def alluse_order_stages():
    ...     yield Provider("max_quantity", lambda context: MaxQuantity(context.settings))
    """


@hookspec
def alluse_metric_sources() -> Iterable[Provider[MetricSource]]:  # type: ignore[empty-body]
    """Offer measurements. All that are offered run, except those ``[monitor] off`` names.

    >>> from alluse_core import Provider, hookimpl
    >>> @hookimpl
    ... def alluse_metric_sources():
    ...     yield Provider("disk", lambda context: DiskSource(context.clock))
    """


@hookspec
def alluse_alert_rules() -> Iterable[Provider[AlertRule]]:  # type: ignore[empty-body]
    """Offer alert rules. All that are offered run, except those ``[alerts] off`` names.

    >>> from alluse_core import Provider, hookimpl
    >>> @hookimpl
    ... def alluse_alert_rules():
    ...     yield Provider("spread_wide", lambda context: SpreadWide(context.settings))
    """


@hookspec
def alluse_analyzers() -> Iterable[Provider[Analyzer]]:  # type: ignore[empty-body]
    """Offer methods of analysis. They are opened in a worker process, by name and settings.

    >>> from alluse_core import Provider, hookimpl
    >>> @hookimpl
    ... def alluse_analyzers():
    ...     yield Provider("trend", lambda context: Trend(context.settings))
    """


@hookspec
def alluse_metric_stores() -> Iterable[Provider[MetricStore]]:  # type: ignore[empty-body]
    """Offer places to keep metrics. ``[monitor] store`` names the one that is opened.

    >>> from alluse_core import Provider, hookimpl
    >>> @hookimpl
    ... def alluse_metric_stores():
    ...     yield Provider("memory", lambda context: MemoryStore())
    """


@hookspec
def alluse_notifiers() -> Iterable[Provider[Notifier]]:  # type: ignore[empty-body]
    """Offer ways to tell a person. ``[alerts] notify`` names those that are opened.

    >>> from alluse_core import Provider, hookimpl
    >>> @hookimpl
    ... def alluse_notifiers():
    ...     yield Provider("pager", lambda context: Pager(context.secret("PAGER_TOKEN")))
    """


@hookspec
def alluse_reporters() -> Iterable[Provider[Reporter]]:  # type: ignore[empty-body]
    """Offer things to write from the two databases. ``[report] reporters`` may narrow them.

    >>> from alluse_core import Provider, hookimpl
    >>> @hookimpl
    ... def alluse_reporters():
    ...     yield Provider("json", lambda context: JsonReport())
    """


@hookspec
def alluse_commands() -> Iterable[Command]:  # type: ignore[empty-body]
    """Offer sub-commands of ``alluse``.

    >>> from alluse_core import Command, hookimpl
    >>> @hookimpl
    ... def alluse_commands():
    ...     yield Command("hello", "Say hello.", "acme.cli:hello")
    """
