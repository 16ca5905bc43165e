"""Registers alluse-ibkr with ALL-USE."""

from __future__ import annotations

from collections.abc import Iterable

from alluse_core.markers import hookimpl
from alluse_core.ports import Broker
from alluse_core.providers import Context, Provider
from alluse_ibkr.settings import IbkrSettings


def _open(context: Context) -> Broker:
    from alluse_ibkr.broker import IbkrBroker

    return IbkrBroker(context)


@hookimpl
def alluse_brokers() -> Iterable[Provider[Broker]]:
    """Offer Interactive Brokers."""
    yield Provider(
        "ibkr", _open, IbkrSettings, "Interactive Brokers, by TWS or IB Gateway on this machine"
    )
