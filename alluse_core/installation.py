"""Which plugins this installation has under given settings, and the settings they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from alluse_core import builtin
from alluse_core.host import Host, safe_mode
from alluse_core.providers import NoSettings
from alluse_core.settings import Settings

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
    )


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
            if settings_type is not NoSettings:
                types[f"{table}.{name}"] = settings_type
    return types
