"""Takes what the library's Decoder has read, and passes it on as values.

Method names and arguments are the API's (EWrapper), which is why they are camel case. One wrapper
belongs to one connection.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import Any

from alluse_core.clock import Clock
from alluse_ibkr.pending import Pending
from alluse_ibkr.ticks import DATA_TYPES, Line


class Listener:
    """Who is told what came in on a connection; what it does not care for it leaves alone."""

    def on_open_order(self, contract: Any, order: Any, state: Any) -> None:
        """An openOrder came, asked for or not."""

    def on_completed_order(self, contract: Any, order: Any, state: Any) -> None:
        """A completedOrder came."""

    def on_order_status(self, fields: tuple[Any, ...]) -> None:
        """An orderStatus came; the API's arguments in their order."""

    def on_execution(self, request_id: int, contract: Any, execution: Any) -> None:
        """An execDetails came; ``request_id`` -1 where nobody asked."""

    def on_commission(self, report: Any) -> None:
        """A commissionReport came."""

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """An error came that is about no open question."""

    def on_quotes(self, lines: list[Line], now: float) -> None:
        """These lines were touched by one network read."""

    def on_next_id(self, order_id: int) -> None:
        """The broker named its next order id."""

    def on_heartbeat(self, now: float) -> None:
        """A probe was answered at monotonic ``now``."""

    def on_still_down(self, reason: str) -> None:
        """An attempt to connect again failed."""

    def on_retired(self, role: str, client_id: int, reason: str, heir: int | None) -> None:
        """A client id misbehaved for good; ``heir`` takes its place, None: there is no other."""


class _Ib:
    """What decoders ask of ``wrapper.ib``: no zone is assumed where a time names none."""

    TimezoneTWS = ""


class Wrapper:
    """The callbacks of one connection."""

    def __init__(
        self,
        clock: Clock,
        listener: Listener,
        on_error: Callable[[int, int, str], None],
    ) -> None:
        self.ib = _Ib()
        self.defaultTimezone = UTC
        self.clock = clock
        self.pending = Pending()
        self.lines: dict[int, Line] = {}
        self.client: Any = None
        self.heard_at = self.alive_at = clock.monotonic()
        self.ticks = 0
        self.received = 0
        self.acknowledged = False
        self._listener = listener
        self._on_error = on_error
        self._touched: list[Line] = []

    # --- the transport ---------------------------------------------------------------------

    def connectAck(self) -> None:
        self.acknowledged = True

    def connectionClosed(self) -> None:
        """The connection watches the transport itself."""

    def setEventsDone(self) -> None:
        """Part of the libraries' own bookkeeping."""

    def tcpDataArrived(self) -> None:
        self.heard_at = self.clock.monotonic()

    def tcpDataProcessed(self) -> None:
        received = self.client._numMsgRecv
        if received != self.received:
            # Bytes alone are no life: behind a broken frame they come and nothing is read.
            self.received = received
            self.alive_at = self.heard_at
        touched = self._touched
        if touched:
            self._touched = []
            self._listener.on_quotes(touched, self.heard_at)

    # --- market data -----------------------------------------------------------------------

    def priceSizeTick(self, request_id: int, kind: int, price: float, size: float) -> None:
        self.ticks += 1
        line = self.lines.get(request_id)
        if line is not None and line.price(kind, price, size) and not line.touched:
            line.touched = True
            self._touched.append(line)

    def tickSize(self, request_id: int, kind: int, size: float) -> None:
        self.ticks += 1
        line = self.lines.get(request_id)
        if line is not None and line.size(kind, size) and not line.touched:
            line.touched = True
            self._touched.append(line)

    def tickString(self, request_id: int, kind: int, text: str) -> None:
        self.ticks += 1
        if kind != 45 and kind != 88:
            return
        line = self.lines.get(request_id)
        if line is not None and text.isdigit():
            line.time = int(text)
            self._touch(line)

    def tickGeneric(self, request_id: int, kind: int, value: float) -> None:
        self.ticks += 1
        if kind != 49 and kind != 90:
            return
        line = self.lines.get(request_id)
        if line is not None:
            line.halted = value > 0
            self._touch(line)

    def marketDataType(self, request_id: int, kind: int) -> None:
        line = self.lines.get(request_id)
        if line is not None and kind in DATA_TYPES:
            line.data_type = DATA_TYPES[kind]
            line.alive_at = self.heard_at
            if line.quote is not None:
                self._touch(line)

    def _touch(self, line: Line) -> None:
        if not line.touched:
            line.touched = True
            self._touched.append(line)

    def tickSnapshotEnd(self, request_id: int) -> None:
        self._end(request_id)

    def tickOptionComputation(self, *_: Any) -> None:
        """Greeks have no place in a quote."""

    def tickReqParams(self, *_: Any) -> None:
        """Tick sizes come with the definition."""

    # --- contracts and history -------------------------------------------------------------

    def contractDetails(self, request_id: int, details: Any) -> None:
        self._row(request_id, details)

    def bondContractDetails(self, request_id: int, details: Any) -> None:
        self._row(request_id, details)

    def contractDetailsEnd(self, request_id: int) -> None:
        self._end(request_id)

    def securityDefinitionOptionParameter(
        self,
        request_id: int,
        exchange: str,
        underlying: int,
        trading_class: str,
        multiplier: str,
        expiries: list[str],
        strikes: list[float],
    ) -> None:
        self._row(request_id, (exchange, trading_class, multiplier, expiries, strikes))

    def securityDefinitionOptionParameterEnd(self, request_id: int) -> None:
        self._end(request_id)

    def marketRule(self, rule: int, increments: list[Any]) -> None:
        name = f"market_rule {rule}"
        for step in increments:
            self.pending.add(name, step)
        self.pending.end(name)

    def historicalData(self, request_id: int, bar: Any) -> None:
        self._row(request_id, bar)

    def historicalDataEnd(self, request_id: int, start: str, end: str) -> None:
        self._end(request_id)

    # --- orders ----------------------------------------------------------------------------

    def nextValidId(self, order_id: int) -> None:
        self._listener.on_next_id(order_id)

    def openOrder(self, order_id: int, contract: Any, order: Any, state: Any) -> None:
        self._listener.on_open_order(contract, order, state)

    def openOrderEnd(self) -> None:
        self.pending.end("open_orders")

    def completedOrder(self, contract: Any, order: Any, state: Any) -> None:
        self._listener.on_completed_order(contract, order, state)

    def completedOrdersEnd(self) -> None:
        self.pending.end("completed_orders")

    def orderStatus(self, *fields: Any) -> None:
        self._listener.on_order_status(fields)

    def execDetails(self, request_id: int, contract: Any, execution: Any) -> None:
        self._listener.on_execution(request_id, contract, execution)

    def execDetailsEnd(self, request_id: int) -> None:
        self._end(request_id)

    def commissionReport(self, report: Any) -> None:
        self._listener.on_commission(report)

    # --- accounts --------------------------------------------------------------------------

    def position(self, account: str, contract: Any, quantity: float, cost: float) -> None:
        self.pending.add("positions", (account, contract, quantity, cost))

    def positionEnd(self) -> None:
        self.pending.end("positions")

    def accountSummary(
        self, request_id: int, account: str, tag: str, value: str, currency: str
    ) -> None:
        self._row(request_id, (account, tag, value, currency))

    def accountSummaryEnd(self, request_id: int) -> None:
        self._end(request_id)

    def updatePortfolio(self, *_: Any) -> None:
        """Positions are asked for as a whole."""

    # --- the rest --------------------------------------------------------------------------

    def currentTime(self, seconds: int) -> None:
        probes = self.pending.probes
        if probes:
            probe = probes.pop(0)
            if not probe.done():
                probe.set_result(seconds)

    def error(self, request_id: int, code: int, text: str, _reject_json: str = "") -> None:
        self._on_error(request_id, code, text)

    def _row(self, request_id: int, row: Any) -> None:
        question = self.pending.numbered.get(request_id)
        if question is not None:
            question.rows.append(row)

    def _end(self, request_id: int) -> None:
        question = self.pending.numbered.get(request_id)
        if question is not None:
            question.finish()
