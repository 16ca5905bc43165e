"""The control interface: puts faults into a running gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from alluse_paper.orders import NewOrder

from alluse_core.errors import InstrumentNotFound, UsageError, did_you_mean
from alluse_core.model import Instrument, OrderType, Side
from alluse_gateway import notices
from alluse_gateway.control_link import seconds_of
from alluse_gateway.control_market import MARKET_COMMANDS, MarketControl
from alluse_gateway.control_news import NewsControl
from alluse_gateway.control_orders import ORDER_COMMANDS, OrderControl
from alluse_gateway.faults import HANDSHAKE_STEPS, Rejection
from alluse_gateway.message_kinds import kinds_of


class Control(NewsControl, MarketControl, OrderControl):
    """Faults to inject, each at once. ``client`` is a client id, or None for every client.

    Every injection is noted in the ledger. Wrong arguments raise UsageError and change nothing.
    """

    def drop(self, client: int | None = None, *, abort: bool = False) -> int:
        """Close connections, politely or with a reset; return how many."""
        chosen = self._chosen(client)
        self._note("drop", client=client, abort=abort, connections=len(chosen))
        for session in chosen:
            if abort:
                session.abort("reset by the control interface")
            else:
                session.close("closed by the control interface")
        return len(chosen)

    def half_open(self, client: int | None = None) -> int:
        """Stop reading from and writing to connections that stay open; return how many."""
        chosen = self._chosen(client)
        self._note("half_open", client=client, connections=len(chosen))
        for session in chosen:
            session.freeze()
        return len(chosen)

    def latency(self, seconds: float) -> None:
        """Delay everything that is sent."""
        self._gateway.faults.latency = seconds_of(seconds)
        self._note("latency", seconds=seconds)

    def delay_acks(self, seconds: float) -> None:
        """Delay what is said of orders."""
        self._gateway.faults.ack_delay = seconds_of(seconds)
        self._note("delay_acks", seconds=seconds)

    def reject(
        self,
        count: int = 1,
        code: int = notices.REJECTED,
        text: str = "Order rejected - reason:",
        told: str = "",
    ) -> None:
        """Refuse the next ``count`` new orders; 0 ends it.

        ``told``: what they are told of as first, "PreSubmitted" or "Submitted"; nothing if empty.
        """
        if count < 0:
            raise UsageError(f"count must not be negative, not {count}")
        if told not in ("", *_TAKEN):
            raise UsageError(f"{told!r} is not among {list(_TAKEN)}{did_you_mean(told, _TAKEN)}")
        self._gateway.faults.rejection = Rejection(count, code, text, told) if count else None
        self._note("reject", count=count, code=code, text=text, told=told)

    def partial_fills(self, count: int = 1, fraction: Decimal | str = "0.5") -> None:
        """Let the next ``count`` orders find only ``fraction`` of their quantity displayed.

        The rest fills with what the market shows next.
        """
        try:
            share = Decimal(fraction)
        except InvalidOperation:
            share = Decimal(-1)
        if not 0 < share < 1 or count < 0:
            raise UsageError("partial fills need count >= 0 and a fraction between 0 and 1")
        self._gateway.faults.partial_fills = count
        self._gateway.faults.partial_fraction = share
        self._note("partial_fills", count=count, fraction=share)

    def mute(self, kinds: Iterable[int | str]) -> None:
        """Do not send messages of these ids or names; an empty list sends all again."""
        self._gateway.faults.muted = set(kinds_of(kinds))
        self._note("mute", kinds=sorted(self._gateway.faults.muted))

    def broadcast(self, code: int, text: str = "") -> None:
        """Send a notice to everybody, and do what it says.

        1100 and 2110 cut the link to the exchange: its events wait, fills happen meanwhile, and
        requests that need it are carried out when 1101 or 1102 restores the link; after 1101
        market data must be asked for again. 2103 stops market data until 2104, 2105 history
        until 2106.
        """
        known = text or notices.BROADCASTS.get(code)
        if not known:
            raise UsageError(
                f"the notice {code} has no text of its own{did_you_mean(str(code), _CODES)}",
                hint="give a text, or one of " + ", ".join(_CODES),
            )
        self._note("broadcast", code=code, text=known)
        self._gateway.announce(code, known)

    def close_at(self, step: str = "") -> None:
        """Close new connections at a step of the handshake; an empty step ends it."""
        if step and step not in HANDSHAKE_STEPS:
            raise UsageError(
                f"{step!r} is not among {list(HANDSHAKE_STEPS)}"
                f"{did_you_mean(step, HANDSHAKE_STEPS)}"
            )
        self._gateway.faults.close_at = step
        self._note("close_at", step=step)

    async def pause_listening(self) -> None:
        """Refuse new connections; those there are stay."""
        await self._gateway.stop_listening()
        self._note("pause_listening")

    async def resume_listening(self) -> None:
        """Accept connections again, on the same port."""
        await self._gateway.start_listening()
        self._note("resume_listening")

    def next_order_id(self, client: int, order_id: int) -> None:
        """Give out ``order_id`` next to ``client``; lower than before is a restart's roll-back."""
        self._gateway.desks.orders.book.set_next_id(client, order_id)
        self._note("next_order_id", client=client, order_id=order_id)

    def manual_order(
        self, symbol: str, side: str, quantity: Decimal | str | int, limit_price: str = ""
    ) -> None:
        """Place an order past the gateway, as a person does in TWS: a stock, market or limit."""
        try:
            instrument = Instrument.parse(symbol)
            order = NewOrder(
                self._gateway.exchange.accounts.names[0],
                self._gateway.exchange.listing(instrument).instrument,
                Side(side),
                Decimal(quantity),
                OrderType.LIMIT if limit_price else OrderType.MARKET,
                Decimal(limit_price) if limit_price else None,
            )
        except (ValueError, InvalidOperation, InstrumentNotFound) as error:
            raise UsageError(f"no such order can be made: {error}") from error
        placed = self._gateway.exchange.place(order)
        self._note("manual_order", symbol=symbol, side=side, perm_id=placed.number)

    def begin(self) -> None:
        """Begin the scenario now, whatever it waits for."""
        if self._gateway.scenario is None:
            raise UsageError(
                "there is no scenario to begin", hint="start the gateway with --scenario"
            )
        self._gateway.scenario.begin()

    def bulletin(self, text: str, exchange: str = "", kind: int = 1) -> int:
        """Send a news bulletin to the clients that read them; return how many those are.

        ``kind``: 1 a notice, 2 an exchange is unavailable, 3 it is available again.
        """
        if kind not in (1, 2, 3) or not text:
            raise UsageError(f"a bulletin has a text and a kind of 1, 2 or 3, not {kind}")
        readers = self._gateway.desks.news.bulletin(str(text), str(exchange), kind)
        self._note("bulletin", text=text, exchange=exchange, kind=kind)
        return readers

    def status(self) -> dict[str, Any]:
        """Return what is connected and what is wrong, JSON-ready."""
        faults = self._gateway.faults
        return {
            "port": self._gateway.port,
            "instruments": [each.instrument.id for each in self._gateway.exchange.listings],
            "clients": sorted(each.client_id for each in self._chosen(None)),
            "orders": len(self._gateway.desks.orders.book),
            "ledger": len(self._gateway.ledger),
            "latency": faults.latency,
            "ack_delay": faults.ack_delay,
            "muted": sorted(faults.muted),
            "rejecting": faults.rejection.count if faults.rejection else 0,
            "partial_fills": faults.partial_fills,
            "close_at": faults.close_at,
            "link_lost": faults.link_lost,
            "market_farm_broken": faults.market_farm_broken,
            "history_farm_broken": faults.history_farm_broken,
            "max_messages_in_a_second": {
                str(each.client_id): each.rate.peak for each in self._chosen(None)
            },
        }

    def ledger(self, since: int = 0, limit: int = 1000) -> dict[str, Any]:
        """Return ledger entries after number ``since``, oldest first, and how many there are."""
        entries = self._gateway.ledger.since(int(since), max(0, min(int(limit), 10_000)))
        return {"entries": entries, "count": len(self._gateway.ledger)}

    async def command(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``{"do": name, ...arguments}``; raises UsageError for what is not one."""
        arguments = dict(request)
        name = arguments.pop("do", None)
        if name not in COMMANDS:
            raise UsageError(
                f"{name!r} is not among {list(COMMANDS)}{did_you_mean(str(name), COMMANDS)}"
            )
        try:
            result = getattr(self, name)(**arguments)
            if asyncio.iscoroutine(result):
                result = await result
        except (TypeError, ValueError, ArithmeticError) as error:
            raise UsageError(f"{name}: {error}") from error
        if isinstance(result, dict):
            return result
        return {"ok": True} if result is None else {"ok": True, "connections": result}


_TAKEN = ("PreSubmitted", "Submitted")
_CODES = tuple(str(code) for code in notices.BROADCASTS)
COMMANDS = (
    "split",
    "coalesce",
    "desync",
    "black_hole",
    "refuse_id",
    "accounts",
    "clock_skew",
    "pacing_kill",
    "pacing",
    "restart",
    "reset",
    "lose",
    "duplicate",
    "delay",
    "hold",
    "reorder",
    "executions_first",
    "tamper_no_more",
    "drop",
    "half_open",
    "latency",
    "delay_acks",
    "reject",
    "partial_fills",
    "mute",
    "broadcast",
    "close_at",
    "pause_listening",
    "resume_listening",
    "next_order_id",
    "manual_order",
    "begin",
    "bulletin",
    "ledger",
    "status",
    *MARKET_COMMANDS,
    *ORDER_COMMANDS,
)
