"""What outlives a gateway: orders, ids, executions and accounts, in a folder."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import cattrs
from alluse_paper.accounts import AccountState
from alluse_paper.exchange import Exchange
from alluse_paper.market import Listing
from alluse_paper.orders import ExchangeOrder, NewOrder
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from alluse_core.clock import Clock
from alluse_core.errors import StateError
from alluse_core.model import ComboLeg, Instrument, Side, TimeInForce
from alluse_gateway.answers.contracts import ContractText
from alluse_gateway.answers.orders import OrderEcho
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.ledger import Ledger
from alluse_gateway.order_book import Booked, OrderBook
from alluse_gateway.order_status import status_of

FILE = "gateway.db"
_DAYS_LONG = (TimeInForce.DAY, TimeInForce.OPG, TimeInForce.IOC, TimeInForce.FOK)


@attrs.frozen
class Kept:
    """One order as it is kept: what the exchange has, and by which ids and terms it was sent."""

    client_id: int
    order_id: int
    echo: OrderEcho
    order: ExchangeOrder


class State:
    """Keeps what IBKR's servers and a TWS remember, so that a gateway can be started again.

    It is written with the loop's next turn, before clients hear of a change: a killed process
    loses none that it told. A power cut may. ``touch`` names an order that has changed; ``broke``
    is called when nothing can be written any more.
    Raises StateError where the folder cannot be used, or another gateway uses it.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        exchange: Exchange,
        contracts: ContractDesk,
        broke: Callable[[StateError], None],
    ) -> None:
        self._broke = broke
        self._clock = clock
        self._exchange = exchange
        self._contracts = contracts
        self._book: OrderBook | None = None
        self._dirty: set[int] = set()
        self._turn: asyncio.Handle | None = None
        self._converter = _converter(contracts)
        self._path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._path, isolation_level=None, timeout=0.2)
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS kept (kind TEXT, name TEXT, body TEXT, "
                "PRIMARY KEY (kind, name)) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise StateError(
                f"the gateway's state in {folder} cannot be used: {error}",
                hint="name a folder that is writable and that no other gateway uses",
            ) from error

    # --- at the start -----------------------------------------------------------------------

    def load(self, book: OrderBook, ledger: Ledger, since: datetime) -> None:
        """Put back what was kept into the exchange and ``book``, and keep what comes.

        Orders that ended before ``since`` are forgotten. Day orders whose session is over are
        gone without a word to anybody, as at IBKR; the ledger says so.
        """
        try:
            kept = [self._converter.structure(each, Kept) for each in self._rows("order")]
            accounts = {
                body["name"]: self._converter.structure(body["state"], AccountState)
                for body in self._rows("account")
            }
            for body in self._rows("ids"):
                for client, number in body.items():
                    book.set_next_id(int(client), number)
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            cattrs.BaseValidationError,
            sqlite3.Error,
        ) as error:
            raise StateError(
                f"{self._path} does not hold what this gateway keeps: {error}",
                hint="start with an empty folder, or with the instruments it was written with",
            ) from error
        living: list[Kept] = []
        for each in kept:
            if self._is_over(each.order):
                ledger.note(
                    "expired",
                    client_id=each.client_id,
                    order_id=each.order_id,
                    perm_id=each.order.number,
                    order_ref=each.echo.order_ref,
                    reason="its session ended while the gateway was away",
                )
                self._drop(each.order.number)
            elif each.order.is_open or (each.order.changed_at or since) >= since:
                living.append(each)
            else:
                self._drop(each.order.number)
        # The exchange itself may have gone on, where it is not this gateway's own.
        if not any(self._exchange.knows(each.order.number) for each in living):
            self._exchange.restore([each.order for each in living], accounts)
        for each in living:
            book.restore(self._booked(each))
        self._book = book
        self._exchange.on_change(self.touch)
        ledger.note("restored", orders=len(living), accounts=len(accounts))

    def _booked(self, kept: Kept) -> Booked:
        order = kept.order
        status, why_held = status_of(order)
        return Booked(
            kept.client_id,
            kept.order_id,
            order.number,
            None,
            kept.echo,
            order,
            status=status,
            why_held=why_held,
            reason=order.reason,
            silent=not status,
            last_price=order.executions[-1].price if order.executions else Decimal(0),
            ended_at=None if order.is_open else order.changed_at,
            fills=list(order.executions),
        )

    def _is_over(self, order: ExchangeOrder) -> bool:
        """Whether an order has run out while nobody looked."""
        if not order.is_open:
            return False
        request, now = order.request, self._clock.now()
        if request.time_in_force is TimeInForce.GTD:
            return request.good_till is not None and request.good_till <= now
        if request.time_in_force not in _DAYS_LONG or order.placed_at is None:
            return False
        hours = self._exchange.listing(request.instrument).hours
        session = hours.session_at(order.placed_at, extended=request.outside_rth)
        return session is not None and session[1] <= now

    def _rows(self, kind: str) -> list[Any]:
        rows = self._database.execute("SELECT body FROM kept WHERE kind = ?", (kind,))
        return [json.loads(body) for (body,) in rows]

    def _drop(self, number: int) -> None:
        self._database.execute("DELETE FROM kept WHERE kind = 'order' AND name = ?", (str(number),))

    # --- while it runs ----------------------------------------------------------------------

    def touch(self, number: int) -> None:
        """Keep an order, its account and the ids, with the loop's next turn."""
        self._dirty.add(number)
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what has changed."""
        self._turn = None
        dirty, self._dirty = self._dirty, set()
        if self._book is None:
            return
        rows: list[tuple[str, str, Any]] = [("ids", "", self._book.next_ids())]
        accounts: set[str] = set()
        for number in dirty:
            booked = self._book.by_perm(number)
            if booked is None or not self._exchange.knows(number):
                continue
            order = self._exchange.order(number)
            kept = Kept(booked.client_id, booked.order_id, booked.echo, order)
            rows.append(("order", str(number), self._converter.unstructure(kept)))
            accounts.add(order.request.account)
        for name in accounts & set(self._exchange.accounts.names):
            state = self._converter.unstructure(self._exchange.accounts.state(name))
            rows.append(("account", name, {"name": name, "state": state}))
        try:
            with self._database:
                self._database.execute("BEGIN")
                self._database.executemany(
                    "INSERT OR REPLACE INTO kept VALUES (?, ?, ?)",
                    [(kind, name, json.dumps(body)) for kind, name, body in rows],
                )
        except sqlite3.Error as error:
            self._dirty |= dirty
            self._broke(
                StateError(
                    f"{self._path.name} cannot be written on: {error}",
                    hint="free some disk space; what the gateway told since is not kept",
                )
            )

    def close(self) -> None:
        """Write the rest and let go of the folder."""
        if self._turn is not None:
            self._turn.cancel()
        if self._book is not None:
            self.flush()
            self._exchange.on_change(_unheard)
        self._database.close()


def _unheard(number: int) -> None:
    """Nobody keeps what changes."""


def _converter(contracts: ContractDesk) -> cattrs.Converter:
    """Return what turns orders and accounts into JSON and back.

    Instruments are written as their ids, contracts as their numbers.
    """
    converter = cattrs.Converter()
    pairs: tuple[tuple[type, Callable[[Any], Any], Callable[[Any], Any]], ...] = (
        (Decimal, str, Decimal),
        (datetime, datetime.isoformat, datetime.fromisoformat),
        (date, date.isoformat, date.fromisoformat),
        (Instrument, _written, _read),
        (
            ContractText,
            lambda each: (
                _written(each.listing.instrument)
                if each.listing.instrument.legs
                else each.listing.con_id
            ),
            lambda kept: (
                contracts.text(_listed(contracts, kept))
                if isinstance(kept, int)
                else contracts.text_of(_read(kept))
            ),
        ),
    )
    for kind, write, read in pairs:
        converter.register_unstructure_hook(kind, write)
        converter.register_structure_hook(kind, _reader(read))
    # The caller's own tag is an object of the caller's process.
    converter.register_unstructure_hook(
        NewOrder, make_dict_unstructure_fn(NewOrder, converter, client_tag=override(omit=True))
    )
    converter.register_structure_hook(
        NewOrder, make_dict_structure_fn(NewOrder, converter, client_tag=override(omit=True))
    )
    return converter


def _written(instrument: Instrument) -> Any:
    """Return an instrument's id; a combo's cannot be read back, so its legs are written out."""
    if not instrument.legs:
        return instrument.id
    legs = [[leg.instrument.id, leg.side.value, leg.ratio] for leg in instrument.legs]
    return [instrument.symbol, instrument.exchange, instrument.currency, legs]


def _read(written: Any) -> Instrument:
    if isinstance(written, str):
        return Instrument.parse(written)
    symbol, exchange, currency, rows = written
    legs = tuple(ComboLeg(Instrument.parse(leg), Side(side), ratio) for leg, side, ratio in rows)
    return Instrument.combo(symbol, legs, exchange, currency)


def _reader(read: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, _: read(value)


def _listed(contracts: ContractDesk, number: int) -> Listing:
    listing = contracts.by_number(number)
    if listing is None:
        raise ValueError(f"no contract has the number {number}")
    return listing
