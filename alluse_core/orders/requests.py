"""Carries out what a person asked of this process through its state folder."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from alluse_core.errors import AllUseError, UsageError
from alluse_core.model import OrderState
from alluse_core.orders.service import Orders
from alluse_core.spool import Request, Spool


class Counter:
    """Takes requests from a spool. Each is carried out in a task of its own: none waits."""

    def __init__(self, orders: Orders, spool: Spool) -> None:
        self._orders = orders
        self._spool = spool
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self) -> None:
        """Begin what waits."""
        for request in self._spool.take():
            task = asyncio.get_running_loop().create_task(self._serve(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End what is not done."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, request: Request) -> None:
        try:
            done = await self._carry_out(request.verb, request.fields)
        except AllUseError as error:
            body = {"error": str(error), "hint": error.hint, "exit_code": error.exit_code}
            self._spool.answer(request, body)
        else:
            self._spool.answer(request, {**status_of(self._orders), **done})

    async def _carry_out(self, verb: str, fields: Mapping[str, str]) -> dict[str, Any]:
        """Do it; return what there is to tell beside how things stand."""
        orders = self._orders
        if verb == "halt":
            await orders.halt(fields["reason"])
        elif verb == "reduce":
            await orders.reduce(fields["reason"])
        elif verb == "flatten":
            await orders.begin_flatten()
        elif verb == "resume":
            await orders.resume(fields["by"])
        elif verb == "approve":
            approved = await orders.approve(fields["by"])
            return {"approved": [str(each) for each in approved]}
        elif verb == "lift":
            await orders.lift_canary(fields["by"])
        elif verb == "resolve":
            state = OrderState(fields["as"])
            await orders.resolve(fields["key"], state, fields["by"])
        elif verb == "close-breaker":
            await orders.close_breaker(fields["broker"], fields["by"])
        elif verb != "status":
            raise UsageError(f"nobody here can {verb!r}: the process is older than the command")
        return {}


def status_of(orders: Orders) -> dict[str, Any]:
    """Return what a person asks first: may it trade, why not, what is open."""
    held = orders.positions()
    return {
        "running": True,
        "state": orders.state.value,
        "reason": orders.reason,
        "flattening": orders.flattening,
        "breakers": {name: state.value for name, state in orders.breakers.items()},
        "differences": [str(each) for each in orders.unapproved],
        "reconciling": orders.reconciling,
        "working": [
            {"key": each.key, "state": each.state.value}
            for each in orders.all()
            if not each.state.is_terminal
        ],
        "positions": [
            {
                "broker": row.broker,
                "account": row.account,
                "instrument": row.instrument.id,
                "quantity": str(row.quantity),
            }
            for row in held.rows
        ],
        "positions_known": held.complete,
    }
