"""The part of the control interface that is about orders and accounts."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from alluse_paper.orders import Fill
from alluse_paper.settlement import assign, exercise, expire

from alluse_core.errors import InstrumentNotFound, UsageError, did_you_mean
from alluse_core.model import Instrument, SecurityType, TimeInForce

if TYPE_CHECKING:
    from alluse_gateway.server import SimulatedGateway


class OrderControl:
    """What goes wrong with orders, and what happens to accounts without one.

    ``symbol`` is a stock's symbol or an instrument's id (``OPT:AAPL:...``); an empty ``account``
    is the first one. Quantities and prices are texts or numbers.
    """

    _gateway: SimulatedGateway

    if TYPE_CHECKING:

        def _note(self, what: str, **facts: Any) -> None: ...

    def read_only(self, on: bool = True) -> None:
        """Refuse order requests with 321, as a TWS does whose API is in read-only mode."""
        self._gateway.faults.orders.read_only = bool(on)
        self._note("read_only", on=bool(on))

    def preset(self, tif: str = "DAY") -> None:
        """Change the time in force of new orders and changes to ``tif`` and tell it by 10349.

        The order lives all the same. An empty text ends it.
        """
        known = [each.value for each in TimeInForce]
        if tif and tif not in known:
            raise UsageError(f"{tif!r} is not among {known}{did_you_mean(tif, known)}")
        self._gateway.faults.orders.preset_tif = tif
        self._note("preset", tif=tif)

    def precautions(self, size: Decimal | str | int = 0, percent: Decimal | str | int = 0) -> None:
        """Refuse orders above ``size`` with 383, or ``percent`` worse than the market with 109.

        0 lifts a limit.
        """
        limits = _amount(size), _amount(percent)
        self._gateway.faults.orders.size_limit, self._gateway.faults.orders.percent_limit = limits
        self._note("precautions", size=limits[0], percent=limits[1])

    def silent_modifies(self, count: int = 1) -> None:
        """Carry out the next ``count`` changes and do not echo them, as after hours."""
        self._gateway.faults.orders.silent_modifies = _count(count)
        self._note("silent_modifies", count=count)

    def split_modifies(self, count: int = 1) -> None:
        """Let each of the next ``count`` changes make a second order beside the first.

        Both live, with two permanent ids under one order id.
        """
        self._gateway.faults.orders.split_modifies = _count(count)
        self._note("split_modifies", count=count)

    def cancel_order(
        self, client: int, order_id: int, reason: str = "cancelled by the exchange"
    ) -> None:
        """Cancel an order that nobody asked to be cancelled: Cancelled and 202."""
        booked = self._gateway.desks.orders.book.by_client(client, order_id)
        if booked is None or not booked.alive:
            raise UsageError(f"client {client} has no living order {order_id}")
        self._note("cancel_order", client=client, order_id=order_id, perm_id=booked.perm_id)
        self._gateway.exchange.cancel(booked.perm_id, reason)

    def unlocate(self, symbol: str) -> None:
        """Let sales of shares that are not held wait for a lender: PreSubmitted and 404."""
        instrument = self._instrument(symbol)
        self._note("unlocate", symbol=symbol)
        self._gateway.exchange.unlocate(instrument)

    def locate(self, symbol: str) -> None:
        """Let shares be borrowed again, and the orders that wait for them go on."""
        instrument = self._instrument(symbol)
        self._note("locate", symbol=symbol)
        self._gateway.exchange.locate(instrument)

    def liquidate(
        self, symbol: str = "", quantity: Decimal | str | int = 0, account: str = ""
    ) -> None:
        """Close a position (0: all of it) at the market; its executions say liquidation = 1.

        Without ``symbol``: the first position that is held.
        """
        name = self._account(account)
        instrument = self._instrument(symbol) if symbol else self._held(name)
        held = abs(self._gateway.exchange.accounts.position(name, instrument))
        wanted = _amount(quantity) or held
        if not 0 < wanted <= held:
            raise UsageError(f"{name} holds {held} of {instrument}, not {wanted}")
        placed = self._gateway.exchange.liquidate(name, instrument, wanted)
        self._note(
            "liquidate",
            symbol=symbol or instrument.id,
            quantity=wanted,
            account=name,
            perm_id=placed.number,
        )

    def assign(
        self, symbol: str = "", quantity: Decimal | str | int = 0, account: str = ""
    ) -> None:
        """Assign a short option position (0: all of it): the shares move at the strike.

        Without ``symbol``: the first short option that is held.
        """
        symbol = symbol or self._held(self._account(account), short_option=True).id
        self._settle("assign", assign, symbol, quantity, account)

    def exercise(self, symbol: str, quantity: Decimal | str | int = 0, account: str = "") -> None:
        """Exercise a long option position (0: all of it)."""
        self._settle("exercise", exercise, symbol, quantity, account)

    def expire(self, symbol: str) -> None:
        """Settle an option or future in every account as its expiry does, now."""
        instrument = self._instrument(symbol)
        self._note("expire", symbol=symbol)
        for account in self._gateway.exchange.accounts.names:
            expire(self._gateway.exchange, account, instrument)

    def correct(
        self,
        execution_id: str = "",
        price: Decimal | str = "",
        quantity: Decimal | str | int = "",
    ) -> None:
        """Correct an execution (the last one if none is named): the end of its id changes."""
        fill = self._fill(execution_id)
        new_price = _amount(price, signed=True) if price != "" else fill.price
        new_quantity = _amount(quantity) if quantity != "" else fill.quantity
        corrected = self._gateway.exchange.correct(
            fill.execution_id, quantity=new_quantity, price=new_price
        )
        self._note("correct", was=fill.execution_id, execution_id=corrected.execution_id)

    def bust(self, execution_id: str = "") -> None:
        """Bust an execution (the last one if none is named): it comes again with size 0."""
        self.correct(execution_id, quantity=0)

    # --- inside -------------------------------------------------------------------------------

    def _settle(
        self, what: str, settle: Any, symbol: str, quantity: Decimal | str | int, account: str
    ) -> None:
        instrument, name = self._instrument(symbol), self._account(account)
        wanted = _amount(quantity)
        reason = settle(self._gateway.exchange, name, instrument, wanted)
        if reason:
            raise UsageError(f"{what}: {reason}")
        self._note(what, symbol=symbol, quantity=wanted, account=name)

    def _instrument(self, symbol: str) -> Instrument:
        try:
            return self._gateway.exchange.listing(Instrument.parse(symbol)).instrument
        except (ValueError, InstrumentNotFound) as error:
            raise UsageError(f"{symbol!r} is not listed here: {error}") from error

    def _held(self, account: str, *, short_option: bool = False) -> Instrument:
        for holding in self._gateway.exchange.accounts.positions(account):
            option = holding.instrument.security_type is SecurityType.OPTION
            if not short_option or (option and holding.quantity < 0):
                return holding.instrument
        what = "short option" if short_option else "position"
        raise UsageError(f"{account} holds no {what}")

    def _account(self, account: str) -> str:
        names = self._gateway.exchange.accounts.names
        if account and account not in names:
            raise UsageError(f"{account!r} is not among {list(names)}")
        return account or names[0]

    def _fill(self, execution_id: str) -> Fill:
        fills = self._gateway.exchange.executions()
        for fill in reversed(fills):
            if execution_id in ("", fill.execution_id):
                return fill
        raise UsageError(f"there is no execution {execution_id!r} of this day")


ORDER_COMMANDS = (
    "read_only",
    "preset",
    "precautions",
    "silent_modifies",
    "split_modifies",
    "cancel_order",
    "unlocate",
    "locate",
    "liquidate",
    "assign",
    "exercise",
    "expire",
    "correct",
    "bust",
)


def _amount(value: Decimal | str | float, *, signed: bool = False) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise UsageError(f"{value!r} is not a number") from None
    if not amount.is_finite() or (amount < 0 and not signed):
        raise UsageError(f"a number that is not negative is wanted, not {value}")
    return amount


def _count(count: int) -> int:
    if not isinstance(count, int) or count < 0:
        raise UsageError(f"count must not be negative, not {count}")
    return count
