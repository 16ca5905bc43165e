"""The installation: settings meet what the plugins in force offer."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from offered import found, offering

from alluse_core import builtin
from alluse_core.errors import PluginError, ProviderNotFound, SettingsError
from alluse_core.host import Host
from alluse_core.installation import check_names, settings_types
from alluse_core.settings import Settings


@attrs.frozen
class Limits:
    limit: int = 5


def test_the_tables_of_plugins_in_force_have_their_types() -> None:
    host = Host(
        candidates=[
            found(offering("broker", "acme", settings_type=Limits), "a", "a"),
            found(offering("stage", "max_quantity", settings_type=Limits), "b", "b"),
            found(offering("cache", "lru"), "c", "c"),
        ]
    )
    settings = Settings.load({"brokers": {"main": {"provider": "acme", "limit": 7}}})
    types_by_path = settings_types(settings, host)
    assert types_by_path == {"brokers.main": Limits, "stages.max_quantity": Limits}
    rows = settings.effective(types_by_path)
    assert ("brokers.main.limit", 7, "mapping") in rows
    assert ("brokers.main.provider", "acme", "mapping") in rows
    assert ("stages.max_quantity.limit", 5, "default") in rows


def test_a_table_named_after_nothing_that_is_offered_is_refused() -> None:
    host = Host(candidates=[found(offering("stage", "max_quantity", settings_type=Limits))])
    with pytest.raises(ProviderNotFound, match="did you mean 'max_quantity'"):
        settings_types(Settings.load({"stages": {"max_quantty": {}}}), host)
    with pytest.raises(ProviderNotFound, match="broker 'nobody'"):
        settings_types(Settings.load({"brokers": {"main": {"provider": "nobody"}}}), host)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"orders": {"stages": ["max_quantty"]}}, "stage 'max_quantty'.*'max_quantity'"),
        ({"quotes": {"cache": "lur"}}, "cache 'lur'.*'lru'"),
        ({"monitor": {"store": "sqlit"}}, "store 'sqlit'.*'sqlite'"),
        ({"alerts": {"notify": ["pager"]}}, "notifier 'pager'"),
        ({"report": {"reporters": ["pdf"]}}, "reporter 'pdf'"),
        ({"alerts": {"off": ["nothing"]}}, "rule 'nothing'"),
        ({"orders": {"default_broker": "mian"}}, "orders.default_broker = 'mian'.*'main'"),
        ({"quotes": {"broker": "mian"}}, "quotes.broker = 'mian'.*'main'"),
    ],
)
def test_every_name_that_settings_refer_to_is_looked_up(
    tables: dict[str, Any], message: str
) -> None:
    host = Host(
        candidates=[
            found(offering("stage", "max_quantity"), "a", "a"),
            found(offering("cache", "lru"), "b", "b"),
            found(offering("broker", "acme"), "c", "c"),
        ],
        built_in=(builtin,),
    )
    held = {
        "orders": {"stages": ["max_quantity"]},
        "brokers": {"main": {"provider": "acme"}},
    }
    check_names(Settings.load(held), host)
    wrong = {**held, **tables}
    wrong["orders"] = {**held["orders"], **tables.get("orders", {})}
    with pytest.raises((PluginError, SettingsError), match=message):
        check_names(Settings.load(wrong), host)
