"""IBKR's own client, unmodified, on a thread of its own, as its users run it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from alluse_gateway.server import SimulatedGateway
from gateway_lab import until

pytest.importorskip("ibapi.client", reason="ibapi is not installed")

from ibapi.client import EClient
from ibapi.contract import Contract
from ibapi.order import Order
from ibapi.wrapper import EWrapper

FORMS = "ProtoBuf"
"""How the callbacks end that hand on a message as it came, before the ones that a user knows."""


def _recorder(name: str) -> Callable[..., None]:
    def callback(self: Any, *arguments: Any) -> None:
        self.told.append((name, arguments))

    return callback


_CALLBACKS = {
    name: _recorder(name)
    for name, value in vars(EWrapper).items()
    if callable(value) and not name.startswith("_") and name != "logAnswer"
}
Recorder: Any = type("Recorder", (EWrapper,), _CALLBACKS)


class IbapiClient:
    """What the client was told, callback by callback, and the client itself (``ask``)."""

    def __init__(self) -> None:
        wrapper = Recorder()
        wrapper.told = self.told = []
        self.ask = EClient(wrapper)

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """Return the arguments of each call of one callback so far."""
        return [arguments for told, arguments in list(self.told) if told == name]

    async def hears(self, name: str, count: int = 1) -> list[tuple[Any, ...]]:
        """Wait for ``count`` calls of a callback and return them."""
        await until(lambda: len(self.of(name)) >= count, f"{name} in {self.names()}")
        return self.of(name)

    async def hears_that(self, name: str, found: Callable[..., bool]) -> tuple[Any, ...]:
        """Wait for a call of a callback of which ``found`` is true and return its arguments."""
        await until(
            lambda: any(found(*each) for each in self.of(name)), f"{name} in {self.of(name)}"
        )
        return next(each for each in self.of(name) if found(*each))

    def names(self) -> set[str]:
        """Return the names of the callbacks so far."""
        return {name for name, _ in list(self.told)}

    def forms(self) -> set[str]:
        """Return the names of the callbacks whose message came as protobuf."""
        return {name.removesuffix(FORMS) for name in self.names() if name.endswith(FORMS)}

    def errors(self) -> list[int]:
        """Return the codes of the errors so far, notices that all is well left out."""
        return [code for _, _, code, *_ in self.of("error") if code not in (2104, 2106, 2158)]


@asynccontextmanager
async def ibapi_client(
    gateway: SimulatedGateway, client_id: int = 1, version: int | None = None
) -> AsyncIterator[IbapiClient]:
    """Connect an EClient that talks to ``gateway``; nothing is asked of its settings."""
    logging.getLogger("ibapi").setLevel(logging.CRITICAL)
    client = IbapiClient()
    await asyncio.to_thread(client.ask.connect, "127.0.0.1", gateway.port, client_id)
    reader = client.ask.reader
    thread = threading.Thread(target=client.ask.run, daemon=True)
    thread.start()
    try:
        await client.hears("nextValidId")
        if version is not None:
            assert client.ask.serverVersion() == version
        yield client
    finally:
        # The client's reader looks for its own end once a second; the server's it sees at once.
        for session in [each for each in gateway.sessions if each.client_id == client_id]:
            session.close("the test is over")
        await asyncio.to_thread(thread.join, 5)
        await asyncio.to_thread(reader.join, 5)
        assert not thread.is_alive()
        logging.getLogger("ibapi").setLevel(logging.NOTSET)


def stock(symbol: str = "AAPL") -> Any:
    """Return a stock as a user of ibapi names it."""
    contract = Contract()
    contract.symbol, contract.secType = symbol, "STK"
    contract.exchange, contract.currency = "SMART", "USD"
    return contract


def order(action: str, quantity: int, kind: str, price: float | None = None, **terms: Any) -> Any:
    """Return an order as a user of ibapi makes it."""
    made = Order()
    made.action, made.totalQuantity, made.orderType = action, quantity, kind
    if price is not None:
        made.lmtPrice = price
    for name, value in terms.items():
        setattr(made, name, value)
    return made
