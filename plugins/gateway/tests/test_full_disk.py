"""A gateway that cannot keep what it tells ends, with one typed error; no client is told more."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alluse_gateway.server import SimulatedGateway
from gateway_lab import client, library, make_exchange, until

from alluse_core.errors import StateError


class FullFile:
    """A file on a disk without room."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_ledger_that_cannot_be_written_ends_the_gateway_not_a_clients_request(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        gateway = SimulatedGateway(make_exchange(), ledger_path=tmp_path / "ledger.jsonl")
        async with gateway:
            async with client("ib_insync", gateway) as ib:
                kept = gateway.ledger._file
                gateway.ledger._file = FullFile()  # type: ignore[assignment]
                assert kept is not None
                kept.close()
                gateway.ledger.note("inject", what="test")
                await until(lambda: not ib.isConnected(), "the end of the connection")
            with pytest.raises(StateError, match="No space"):
                await asyncio.wait_for(gateway.wait_for_failure(), 5)
            assert gateway.ledger.of("inject"), "memory goes on"

    with pytest.raises(StateError, match="ledger cannot be written on: No space"):
        asyncio.run(story())


class FullDatabase:
    """A database on a disk without room."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real

    def __enter__(self) -> Any:
        return self._real.__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self._real.__exit__(*error)

    def execute(self, *statement: Any) -> Any:
        return self._real.execute(*statement)

    def executemany(self, *statement: Any) -> Any:
        raise sqlite3.OperationalError("database or disk is full")

    def close(self) -> None:
        self._real.close()


def test_a_state_that_cannot_be_written_ends_the_gateway_and_forgets_no_order(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        gateway = SimulatedGateway(make_exchange(), state=tmp_path)
        lib = library("ib_insync")
        async with gateway, client("ib_insync", gateway) as ib:
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            state = gateway._state
            assert state is not None
            state._database = FullDatabase(state._database)  # type: ignore[assignment]
            ib.placeOrder(contract, lib.LimitOrder("BUY", 1, 90.0, tif="GTC"))
            await until(lambda: not ib.isConnected(), "the end of the connection")
            assert state._dirty, "what could not be kept is not taken for kept"

    with pytest.raises(StateError, match="disk is full"):
        asyncio.run(story())
