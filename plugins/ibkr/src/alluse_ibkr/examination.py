"""``alluse doctor`` against TWS or IB Gateway: asks what costs money, and places nothing.

It connects with the client id of the orders, so it says as well whether that id is free; where it
is not, another one asks the rest. Orders are asked about by what-if, which TWS answers with the
order as it would take it and never carries out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import attrs

from alluse_core.errors import BrokerUnavailable, NotSent, RequestFailed
from alluse_core.model import Instrument, Order, Side, Verb
from alluse_core.ports import Check, Classify, Inquiry, OrderMessage, Priority, Verdict
from alluse_core.providers import Context
from alluse_ibkr import findings, orders
from alluse_ibkr.client import REQUEST_IDS_FROM, Library, load
from alluse_ibkr.client_ids import ClientIdTaken
from alluse_ibkr.clock_skew import ClockSkew
from alluse_ibkr.contracts import ContractBook
from alluse_ibkr.deadline import within
from alluse_ibkr.findings import DataSeen, Preview, Said, Terms
from alluse_ibkr.pending import Question
from alluse_ibkr.session import Session
from alluse_ibkr.settings import IbkrSettings
from alluse_ibkr.ticks import DATA_TYPES, Line
from alluse_ibkr.wireformat import exact
from alluse_ibkr.wrapper import Listener

DEFAULT = Instrument.stock("AAPL")
"""What is asked about where nobody says: it trades on every US stock exchange."""

_IDS_TRIED = 4
_TIMES_ASKED = 5
_TICK_SECONDS = 0.21
_NO_PRICE = Decimal(1)
_REFERENCE = "alluse-doctor"


class Ear(Listener):
    """Keeps what is said, until somebody asks for it."""

    def __init__(self, classify: Classify) -> None:
        self._classify = classify
        self.said: list[Said] = []
        self.next_id = 0
        self.previews: dict[int, tuple[Any, Any]] = {}
        self.live: set[int] = set()
        self.changed = asyncio.Event()

    def on_error(self, request_id: int, code: int, text: str) -> None:
        """Keep a coded message."""
        verb = Verb.PLACE if 0 < request_id < REQUEST_IDS_FROM else None
        meaning = self._classify(code, text, verb).error_class
        self.said.append(Said(request_id, code, text, meaning))
        self.changed.set()

    def on_next_id(self, order_id: int) -> None:
        """Keep the first: later ones are about what this examination used itself."""
        self.next_id = self.next_id or order_id

    def on_open_order(self, contract: Any, order: Any, state: Any) -> None:
        """Keep what a what-if would do, and notice one that was taken for an order."""
        if order.whatIf:
            self.previews[order.orderId] = (order, state)
        elif order.orderRef == _REFERENCE:
            self.live.add(order.orderId)
        self.changed.set()

    def about(self, number: int) -> tuple[Said, ...]:
        """Return what was said of one request or order."""
        return tuple(each for each in self.said if each.number == number)


@attrs.define
class _Greeting:
    """The first frame, of which the library keeps the version alone."""

    data: bytes = b""

    def take(self, data: bytes) -> None:
        """Gather the first bytes of the socket."""
        if len(self.data) < 4096:
            self.data += data

    @property
    def time(self) -> str:
        """The server's time with its zone, as it was written; empty where it cannot be read."""
        length = int.from_bytes(self.data[:4], "big")
        fields = self.data[4 : 4 + length].split(b"\0")
        return fields[1].decode("ascii", "replace") if len(fields) > 1 else ""


class Examination:
    """One visit to the gateway."""

    def __init__(self, context: Context, inquiry: Inquiry) -> None:
        assert isinstance(context.settings, IbkrSettings)
        self._context = context
        self._settings = context.settings
        self._inquiry = inquiry
        self._ear = Ear(context.classify)
        self._greeting = _Greeting()
        self._skew = ClockSkew()
        self._numbers = REQUEST_IDS_FROM
        self._library: Library = load(context.settings.library)
        self._book = ContractBook(self._library)
        self._session: Session | None = None
        self._used: set[int] = set()

    async def checks(self) -> AsyncIterator[Check]:
        """Yield one check after the other; ends early, saying so, where the connection does."""
        try:
            async for check in self._all():
                yield check
        except BrokerUnavailable as error:
            detail = f"{error}; what follows was not asked"
            yield Check("connection", Verdict.FAIL, detail, error.hint)
        finally:
            if self._session is not None:
                self._session.close()
                await asyncio.sleep(0)

    async def _all(self) -> AsyncIterator[Check]:
        settings, ear = self._settings, self._ear
        yield await self._connect()
        session = self._here()
        yield await self._round_trip()
        yield findings.server_version(
            session.client.serverVersion(), session.client.MaxClientVersion
        )
        accounts = session.client.getAccounts()
        yield findings.account(
            accounts, settings.account, self._inquiry.live_account, settings.port
        )
        yield findings.restart_windows(
            accounts, settings.account, settings.region, settings.restart_at
        )
        yield findings.clock(self._skew.bound)
        skew = (self._skew.milliseconds() or 0.0) / 1000
        yield findings.time_zone(self._greeting.time, self._context.clock.now(), skew)
        yield self._order_ids(session)
        yield findings.farms(ear.said)
        seen: list[DataSeen] = []
        previews: list[Preview | None] = []
        for instrument in self._inquiry.instruments or (DEFAULT,):
            async for check in self._instrument(instrument, seen, previews):
                yield check
        preview = next((each for each in previews if each is not None), None)
        yield findings.read_only(preview, settings.read_only)
        yield findings.presets(preview)
        yield findings.precautions(preview)
        yield findings.competing(seen, ear.said)

    # --- the connection --------------------------------------------------------------------

    async def _connect(self) -> Check:
        """Connect, by the orders' client id if it is free; BrokerUnavailable where none gets in."""
        wanted = self._settings.client_id
        taken = ""
        for client_id in range(wanted, wanted + _IDS_TRIED):
            await self._turn()
            session = Session(
                self._library,
                self._settings,
                client_id,
                self._context.clock,
                self._ear,
                lambda _: None,
                self._context.classify,
            )
            self._greeting = _Greeting()
            session.client.conn.hasData += self._greeting.take
            try:
                await session.connect()
            except ClientIdTaken as error:
                taken = taken or error.hint
                continue
            self._session = session
            if client_id == wanted:
                return Check("client id", Verdict.OK, f"{wanted} is free for orders")
            detail = f"{wanted} is in use by another program; {client_id} asks the rest"
            return Check("client id", Verdict.FAIL, detail, taken)
        detail = f"client ids {wanted} to {wanted + _IDS_TRIED - 1} are all in use"
        raise BrokerUnavailable(detail, hint=taken)

    async def _round_trip(self) -> Check:
        """Ask for the time at different parts of a second, which narrows the clocks' skew."""
        clock, best = self._context.clock, None
        for number in range(_TIMES_ASKED):
            if number:
                await clock.sleep(_TICK_SECONDS)
            session = self._here()
            await self._turn()
            answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            session.wrapper.pending.probes.append(answer)
            began, asked = clock.monotonic(), clock.now().timestamp()
            session.client.reqCurrentTime()
            try:
                told = await within(clock, answer, self._inquiry.patience)
            except TimeoutError:
                detail = f"no answer to a question for the time in {self._inquiry.patience:g} s"
                return Check("connection", Verdict.FAIL, detail, "restart the gateway")
            self._skew.add(told, asked, clock.now().timestamp())
            seconds = clock.monotonic() - began
            best = seconds if best is None else min(best, seconds)
        detail = f"answers in {(best or 0.0) * 1000:.1f} ms at best of {_TIMES_ASKED}"
        return Check("connection", Verdict.OK, detail)

    def _order_ids(self, session: Session) -> Check:
        wanted = self._settings.client_id
        if session.client_id != wanted:
            detail = f"the next one of client id {wanted} is told to its holder only"
            return Check("order ids", Verdict.UNKNOWN, detail, "end the holder and ask again")
        known = self._inquiry.used_order_ids
        used = None if known is None else known.get(wanted, 0)
        return findings.order_ids(self._ear.next_id, used, wanted)

    def _here(self) -> Session:
        session = self._session
        if session is None or not session.ready:
            why = session.lost.result() if session is not None and session.lost.done() else "down"
            raise BrokerUnavailable(f"the connection ended while it was examined: it {why}")
        return session

    async def _turn(self) -> None:
        await self._context.pacer.turn(Priority.DATA)

    # --- one instrument --------------------------------------------------------------------

    async def _instrument(
        self, instrument: Instrument, seen: list[DataSeen], previews: list[Preview | None]
    ) -> AsyncIterator[Check]:
        what = instrument.id
        contract = await self._contract(instrument)
        if isinstance(contract, Check):
            yield contract
            return
        data, line = await self._market_data(instrument, contract)
        seen.append(data)
        yield findings.market_data(what, data, DATA_TYPES[self._settings.market_data_type])
        preview = None if self._settings.read_only else await self._what_if(instrument, line)
        previews.append(preview)
        yield findings.permission(what, preview)

    async def _contract(self, instrument: Instrument) -> Any:
        """Return the contract, or the check that says why there is none."""
        name = f"contract {instrument.id}"
        number, question = self._next_number(), Question(Verb.DEFINE)
        session = self._here()
        session.wrapper.pending.numbered[number] = question
        try:
            contract = self._book.contract(instrument)
            await self._turn()
            session.client.reqContractDetails(number, contract)
            rows = await within(self._context.clock, question.done, self._inquiry.patience)
        except TimeoutError:
            return Check(name, Verdict.UNKNOWN, "the question for it was not answered")
        except (RequestFailed, NotSent) as error:
            return Check(name, Verdict.FAIL, str(error), "correct its name, exchange or currency")
        finally:
            session.wrapper.pending.numbered.pop(number, None)
        if len(rows) != 1:
            found = ", ".join(f"{row.contract.localSymbol}@{row.contract.exchange}" for row in rows)
            return Check(name, Verdict.FAIL, f"ambiguous: {found}", "name exchange and currency")
        return contract

    async def _market_data(self, instrument: Instrument, contract: Any) -> tuple[DataSeen, Line]:
        """Stream for a moment, under the type that the settings ask for."""
        session, number = self._here(), self._next_number()
        line = Line(instrument, DATA_TYPES[1])
        session.wrapper.lines[number] = line
        await self._turn()
        session.client.reqMarketDataType(self._settings.market_data_type)
        await self._turn()
        session.client.reqMktData(number, contract, "", False, False, [])

        def answered() -> bool:
            return _has_ticked(line) or any(map(findings.is_no_data, self._ear.about(number)))

        await self._until(answered)
        session.wrapper.lines.pop(number, None)
        if session.ready:
            await self._turn()
            session.client.cancelMktData(number)
        seen = DataSeen(line.effective_type, _has_ticked(line), self._ear.about(number))
        return seen, line

    async def _what_if(self, instrument: Instrument, line: Line) -> Preview:
        session = self._here()
        number = self._next_order_id()
        price = _near(line)
        order = Order.limit(
            instrument,
            Side.BUY,
            1,
            price,
            key=_REFERENCE,
            account=self._settings.account or session.client.getAccounts()[0],
            broker=self._context.name,
        )
        message = OrderMessage(order, _REFERENCE, number)
        made = orders.to_wire(self._library, message, session.client_id)
        made.whatIf = True
        await self._turn()
        session.client.placeOrder(number, self._book.contract(instrument), made)
        ear = self._ear

        def answered() -> bool:
            refused = any(not findings.is_information(each) for each in ear.about(number))
            return number in ear.previews or number in ear.live or refused

        await self._until(answered)
        if number in ear.live and session.ready:
            session.client.cancelOrder(number)
        echo, state = ear.previews.get(number, (None, None))
        return Preview(
            _terms(made),
            None if echo is None else _terms(echo),
            "" if state is None else state.warningText or "",
            ear.about(number),
            number in ear.live,
        )

    def _next_order_id(self) -> int:
        """Return an id above all that the gateway or the journal knows to be used."""
        known = (self._inquiry.used_order_ids or {}).get(self._here().client_id, 0)
        number = max([self._ear.next_id, known + 1, *(each + 1 for each in self._used)])
        self._used.add(number)
        return number

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    async def _until(self, answered: Callable[[], bool]) -> None:
        """Wait until ``answered``, or as long as the patience lasts."""
        clock = self._context.clock
        deadline = clock.monotonic() + self._inquiry.patience
        while not answered() and clock.monotonic() < deadline:
            self._here()
            await clock.sleep(0.02)


def _has_ticked(line: Line) -> bool:
    return any(price == price for price in (line.bid, line.ask, line.last))


def _near(line: Line) -> Decimal:
    """Return a price a little below the market, which no percentage precaution objects to."""
    known = [each for each in (line.bid, line.last, line.ask) if each == each and each > 0]
    if not known:
        return _NO_PRICE
    return max(
        (Decimal(repr(known[0])) * Decimal("0.99")).quantize(Decimal("0.01")), Decimal("0.01")
    )


def _terms(order: Any) -> Terms:
    return Terms(
        order.tif,
        bool(order.outsideRth),
        order.account,
        str(exact(order.totalQuantity)),
        str(exact(order.lmtPrice)),
    )
