"""Registers alluse-paper with ALL-USE."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from alluse_core.markers import hookimpl
from alluse_core.providers import Command, Context, Provider
from alluse_paper.settings import PaperSettings

if TYPE_CHECKING:
    from alluse_core.ports import Broker


def _open(context: Context) -> Broker:
    from alluse_paper.broker import PaperBroker

    return PaperBroker(context)


@hookimpl
def alluse_brokers() -> Iterable[Provider[Broker]]:
    """Offer the simulated exchange as the broker "paper"."""
    yield Provider(
        "paper",
        _open,
        PaperSettings,
        help="A simulated exchange in this process, over a recording or a synthetic market.",
    )


@hookimpl
def alluse_commands() -> Iterable[Command]:
    """Offer ``alluse record``."""
    yield Command(
        "record",
        "Write what the broker streams as a recording that --replay reads.",
        "alluse_paper.record:command",
    )
