"""Rows of answers that come among live messages, while they are asked for."""

from __future__ import annotations

from alluse_core.model import Execution, OrderReport
from alluse_ibkr.orders import merged

Name = tuple[int, int, int]


class Gathering:
    """What the questions now open have brought.

    Open orders are told by the same messages as live changes: each belongs to both.
    """

    def __init__(self) -> None:
        self.open_orders: dict[Name, OrderReport] | None = None
        self.completed_orders: list[OrderReport] | None = None
        self.executions: dict[int, list[Execution]] = {}

    def opened(self, report: OrderReport) -> None:
        """Take an openOrder, in place of an older one of the same order."""
        if self.open_orders is not None:
            self.open_orders[_name(report)] = report

    def status(self, report: OrderReport) -> None:
        """Complete the row of an order with its status and quantities."""
        if self.open_orders is not None:
            name = _name(report)
            row = self.open_orders.get(name)
            if row is not None:
                self.open_orders[name] = merged(row, report)

    def completed(self, report: OrderReport) -> None:
        """Take a completedOrder."""
        if self.completed_orders is not None:
            self.completed_orders.append(report)

    def filled(self, request_id: int, fill: Execution) -> bool:
        """Take an execution that was asked for; False where it was not."""
        rows = self.executions.get(request_id)
        if rows is None:
            return False
        rows.append(fill)
        return True


def _name(report: OrderReport) -> Name:
    identity = report.identity
    return identity.perm_id, identity.order_id, identity.client_id
