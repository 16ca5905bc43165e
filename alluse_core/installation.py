"""Which plugins this installation has under given settings, and the settings they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from alluse_core import builtin
from alluse_core.errors import SettingsError, did_you_mean
from alluse_core.host import Host, safe_mode
from alluse_core.providers import NoSettings
from alluse_core.redaction import Redaction
from alluse_core.settings import Settings
from alluse_core.settings.strict import secrets_in

TABLES: Final[Mapping[str, str]] = {
    "broker": "brokers",
    "cache": "caches",
    "stage": "stages",
    "source": "sources",
    "rule": "rules",
    "analyzer": "analyzers",
    "store": "stores",
    "notifier": "notifiers",
    "reporter": "reporters",
}
"""The settings table that holds the tables of each kind of provider."""


def load_host(settings: Settings, plugins: Sequence[object] = ()) -> Host:
    """Return the host for these settings; ``plugins`` are unpackaged ones."""
    return Host(
        objects=plugins,
        built_in=(builtin,),
        allow=settings.alluse.plugins,
        disabled=settings.alluse.disabled_plugins,
        safe_mode=safe_mode(),
        redaction=Redaction(secrets_in(settings.tables)),
    )


def check_names(settings: Settings, host: Host) -> None:
    """Look up every name that the settings refer to, as a run would when it opens them.

    Raises ProviderNotFound for a provider that is not offered, and SettingsError for a broker
    that has no table.
    """
    brokers = settings.brokers
    for path, name in (
        ("orders.default_broker", settings.orders.default_broker),
        ("quotes.broker", settings.quotes.broker),
    ):
        if name and name not in brokers:
            raise SettingsError(
                f"{path} = {name!r} is not among the brokers {sorted(brokers)}"
                f"{did_you_mean(name, brokers)}",
                hint=f"add a table [brokers.{name}], or name one that is there",
            )
    for kind, names in (
        ("stage", settings.orders.stages),
        ("cache", (settings.quotes.cache,)),
        ("store", (settings.monitor.store,)),
        ("notifier", settings.alerts.notify),
        ("reporter", settings.report.reporters),
        ("source", settings.monitor.off),
        ("rule", settings.alerts.off),
        ("analyzer", settings.analysis.off),
    ):
        for name in names:
            host.provider(kind, name)


def settings_types(settings: Settings, host: Host) -> dict[str, type[attrs.AttrsInstance]]:
    """Return the settings class of every plugin table that is in force, by its dotted path.

    Raises ProviderNotFound where a table is named after nothing that is offered.
    """
    types: dict[str, type[attrs.AttrsInstance]] = {}
    for name, provider in settings.brokers.items():
        types[f"brokers.{name}"] = host.provider("broker", provider).settings_type
    for kind, table in TABLES.items():
        if kind == "broker":
            continue
        for name in settings.names(table):
            host.provider(kind, name)
        for name in host.names(kind):
            settings_type = host.provider(kind, name).settings_type
            if settings_type is not NoSettings or name in settings.names(table):
                types[f"{table}.{name}"] = settings_type
    return types
