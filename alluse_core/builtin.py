"""What the core itself offers through the same hooks as everybody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from alluse_core.markers import hookimpl
from alluse_core.providers import Command, Context, Provider

if TYPE_CHECKING:
    from alluse_core.ports import MetricStore


def _open_sqlite_store(context: Context) -> MetricStore:
    from alluse_core.monitor.store import SqliteMetricStore
    from alluse_core.state import METRICS

    return SqliteMetricStore(context.state_dir / METRICS, telemetry=context.telemetry)


@hookimpl
def alluse_metric_stores() -> Iterator[Provider[MetricStore]]:
    """Offer the SQLite store."""
    yield Provider("sqlite", _open_sqlite_store, help="metrics.db in the state folder")


@hookimpl
def alluse_commands() -> Iterator[Command]:
    """Offer the core's commands."""
    cli = "alluse_core.cli"
    yield Command("run", "Run against the brokers that the settings name.", f"{cli}.run:run")
    yield Command("chain", "Read an option chain, its cost told first.", f"{cli}.chain:chain")
    yield Command(
        "orders list", "List orders and what is known of them.", f"{cli}.orders:orders_list"
    )
    yield Command("orders show", "Tell one order's whole story.", f"{cli}.orders:orders_show")
    yield Command(
        "orders classify", "Say what an error code means.", f"{cli}.error_codes:orders_classify"
    )
    yield Command(
        "orders unclassified",
        "List codes that no rule knew.",
        f"{cli}.error_codes:orders_unclassified",
    )
    yield Command("watchdog", "Act when a trading process is dead.", f"{cli}.watchdog:watchdog")
    for name, text in _STOPPING:
        target = f"{cli}.stopping:{name.replace('-', '_')}"
        yield Command(f"orders {name}", text, target)
        if name in _IN_TROUBLE:
            # Nobody should have to remember a group while positions run away.
            yield Command(name, text, target)
    yield Command("journal export", "Write the journal's records.", f"{cli}.journal:journal_export")
    yield Command("journal verify", "Check the journal's chain.", f"{cli}.journal:journal_verify")
    yield Command("alerts list", "List alerts.", f"{cli}.alerts:alerts_list")
    yield Command("metrics list", "List series.", f"{cli}.metrics:metrics_list")
    yield Command("metrics export", "Write samples as CSV.", f"{cli}.metrics:metrics_export")
    yield Command(
        "plugins list", "List plugins and what they offer.", f"{cli}.plugins:plugins_list"
    )
    yield Command(
        "config init", "Write a settings file to start from.", f"{cli}.config:config_init"
    )
    yield Command("config show", "Print the effective settings.", f"{cli}.config:config_show")
    yield Command("config check", "Read the settings as a run would.", f"{cli}.config:config_check")
    yield Command("doctor", "Check this installation and its brokers.", f"{cli}.doctor:doctor")


_IN_TROUBLE = ("halt", "flatten", "resume")
_STOPPING = (
    ("halt", "Stop new risk; protection stays."),
    ("reduce", "Allow only what reduces risk."),
    ("flatten", "Close all positions."),
    ("resume", "Allow new risk again, with your name."),
    ("approve", "Approve what a start found, with your name."),
    ("lift", "Lift the caps of a new version, with your name."),
    ("resolve", "Settle an UNKNOWN order by your word."),
    ("close-breaker", "Let new orders to a broker pass again, with your name."),
    ("status", "Tell what a running process may do."),
)
