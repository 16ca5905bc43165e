"""The questions whose answers are evidence: orders, fills, positions, account figures."""

from __future__ import annotations

from typing import Any

from alluse_core.model import AccountValue, Execution, OrderReport, Position
from alluse_ibkr import accounts
from alluse_ibkr.client import Library
from alluse_ibkr.connection import Connection
from alluse_ibkr.contracts import ContractBook
from alluse_ibkr.order_desk import OrderDesk
from alluse_ibkr.wireformat import exact_or_zero, number_in


class EvidenceDesk:
    """Asks on the order connection. An answer without its end mark is an error, never empty."""

    def __init__(
        self,
        broker: str,
        library: Library,
        connection: Connection,
        book: ContractBook,
        desk: OrderDesk,
    ) -> None:
        self._broker = broker
        self._library = library
        self._connection = connection
        self._book = book
        self._desk = desk

    async def open_orders(self) -> tuple[OrderReport, ...]:
        """Ask for the open orders of all clients, people's included."""
        gathering = self._desk.gathering

        def send(client: Any) -> None:
            gathering.open_orders = {}
            client.reqAllOpenOrders()

        try:
            await self._connection.ask_named("open_orders", "open_orders", send)
            return tuple((gathering.open_orders or {}).values())
        finally:
            gathering.open_orders = None

    async def completed_orders(self) -> tuple[OrderReport, ...]:
        """Ask for orders that ended today."""
        gathering = self._desk.gathering

        def send(client: Any) -> None:
            gathering.completed_orders = []
            client.reqCompletedOrders(False)

        try:
            await self._connection.ask_named("completed_orders", "completed_orders", send)
            return tuple(gathering.completed_orders or ())
        finally:
            gathering.completed_orders = None

    async def executions(self) -> tuple[Execution, ...]:
        """Ask for the fills since midnight, of all clients."""
        rows: list[Execution] = []
        number = 0

        def send(client: Any, request_id: int) -> None:
            nonlocal number
            number = request_id
            self._desk.gathering.executions[number] = rows
            client.reqExecutions(number, self._library.execution_filter())

        try:
            await self._connection.ask("executions", send)
            return tuple(rows)
        finally:
            self._desk.gathering.executions.pop(number, None)

    async def positions(self) -> tuple[Position, ...]:
        """Ask for what all accounts hold, and end the subscription that this begins."""
        rows = await self._connection.ask_named(
            "positions", "positions", lambda client: client.reqPositions()
        )
        if self._connection.ready:
            lease = self._connection.lease()
            await self._connection.tell(lambda client: client.cancelPositions(), lease)
        held = []
        for account, contract, quantity, cost in rows:
            instrument = self._book.instrument(contract)
            if instrument is None:
                self._desk.on_undecodable(f"a position in {contract.secType} cannot be named")
            elif quantity:
                self._book.learn_held(contract, instrument)
                amount, average = exact_or_zero(quantity), exact_or_zero(cost)
                unit = average / instrument.multiplier
                held.append(Position(self._broker, account, instrument, amount, unit))
        return tuple(held)

    async def account_values(self) -> tuple[AccountValue, ...]:
        """Ask for the summary of all accounts, and end the subscription that this begins."""
        number = 0

        def send(client: Any, request_id: int) -> None:
            nonlocal number
            number = request_id
            client.reqAccountSummary(number, "All", accounts.SUMMARY_TAGS)

        rows = await self._connection.ask("account_values", send)
        if self._connection.ready:
            lease = self._connection.lease()
            await self._connection.tell(lambda client: client.cancelAccountSummary(number), lease)
        values = []
        for account, tag, text, currency in rows:
            amount = number_in(text)
            if amount is not None:
                values.append(AccountValue(self._broker, account, tag, amount, currency))
        return tuple(values)
