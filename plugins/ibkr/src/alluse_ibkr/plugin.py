"""Registers alluse-ibkr with ALL-USE."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from alluse_core.markers import hookimpl
from alluse_core.providers import Context, Provider
from alluse_ibkr.settings import IbkrSettings

if TYPE_CHECKING:
    from alluse_core.ports import Broker


def _open(context: Context) -> Broker:
    from alluse_ibkr.broker import IbkrBroker

    return IbkrBroker(context)


@hookimpl
def alluse_brokers() -> Iterable[Provider[Broker]]:
    """Offer Interactive Brokers."""
    yield Provider(
        "ibkr", _open, IbkrSettings, "Interactive Brokers, by TWS or IB Gateway on this machine"
    )
