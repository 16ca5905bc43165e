"""What can be traded, named without any broker's help."""

from __future__ import annotations

import threading
import weakref
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Self

import attrs

from alluse_core.errors import InvalidType, InvalidValue
from alluse_core.model.number import check_decimal, decimal


class SecurityType(StrEnum):
    """Kinds of instrument, by the codes that FIX and IBKR share where they do."""

    STOCK = "STK"
    OPTION = "OPT"
    FUTURE = "FUT"
    FOREX = "CASH"
    INDEX = "IND"
    COMBO = "BAG"


class Right(StrEnum):
    """Whether an option calls or puts."""

    CALL = "C"
    PUT = "P"


class _Interned(type):
    """Makes equal instruments one object, so that they hash and compare by identity.

    A dictionary look-up by instrument is on the path of every quote read; identity costs a
    tenth of comparing fields.
    """

    _pool: ClassVar[weakref.WeakValueDictionary[str, Any]] = weakref.WeakValueDictionary()
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        with _Interned._lock:
            return _Interned._pool.setdefault(made.id, made)


def _right(word: Right | str) -> Right:
    if word not in list(Right):
        raise InvalidValue(f"an option's right is 'C' or 'P', not {word!r}", hint="Right.CALL")
    return Right(word)


def _text(number: Decimal | None) -> str:
    return "" if number is None else format(number.normalize(), "f")


@attrs.frozen(eq=False, repr=False)
class Instrument(metaclass=_Interned):
    """One instrument. Equal descriptions are the same object.

    ``id`` is its canonical text, such as ``STK:AAPL:SMART:USD`` or
    ``OPT:AAPL:SMART:USD:20261218:190:C:100``; :meth:`parse` reads it back. What only a broker
    knows (its contract number, tick sizes, hours) is in :class:`InstrumentDefinition`.
    """

    symbol: str
    security_type: SecurityType = SecurityType.STOCK
    exchange: str = "SMART"
    currency: str = "USD"
    expiry: date | None = None
    strike: Decimal | None = None
    right: Right | None = None
    multiplier: Decimal = Decimal(1)
    legs: tuple[ComboLeg, ...] = ()
    id: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if not self.symbol:
            raise InvalidValue("an instrument has a symbol", hint="such as 'AAPL'")
        for name in ("symbol", "exchange", "currency"):
            text = getattr(self, name)
            if not isinstance(text, str):
                raise InvalidType(
                    f"an instrument's {name} is text, not {type(text).__name__}",
                    hint="Instrument.parse reads an id such as 'STK:AAPL:SMART:USD'",
                )
            if not text.isprintable() or ":" in text or text != text.strip():
                raise InvalidValue(
                    f"an instrument's {name} must be a plain name, not {text!r}",
                    hint="Instrument.parse reads an id such as 'STK:AAPL:SMART:USD'",
                )
        self._refuse_what_the_id_would_not_tell()
        parts = [self.security_type.value, self.symbol, self.exchange, self.currency]
        if self.security_type in (SecurityType.OPTION, SecurityType.FUTURE):
            expiry = self.expiry.strftime("%Y%m%d") if self.expiry else ""
            parts += [expiry, _text(self.strike), self.right or "", _text(self.multiplier)]
        elif self.security_type is SecurityType.COMBO:
            parts += [f"{leg.side.value}{leg.ratio}*({leg.instrument.id})" for leg in self.legs]
        object.__setattr__(self, "id", ":".join(parts))

    def _refuse_what_the_id_would_not_tell(self) -> None:
        # Instruments are interned by id: a field outside of it would leak into equal ids.
        derivative = self.security_type in (SecurityType.OPTION, SecurityType.FUTURE)
        given = (self.expiry, self.strike, self.right)
        if not derivative and (any(item is not None for item in given) or self.multiplier != 1):
            raise InvalidValue(
                f"{self.security_type.value} {self.symbol} takes no expiry, strike, right or"
                " multiplier",
                hint="Instrument.option and .future make what has them",
            )
        if self.legs and self.security_type is not SecurityType.COMBO:
            raise InvalidValue(
                f"{self.security_type.value} {self.symbol} takes no legs",
                hint="Instrument.combo makes what has them",
            )
        for number in (self.strike, self.multiplier):
            if number is not None:
                check_decimal(number)
        if self.expiry is not None and not isinstance(self.expiry, date):
            raise InvalidType(
                f"an instrument's expiry is a date, not {type(self.expiry).__name__}",
                hint="such as datetime.date(2026, 12, 18)",
            )

    @classmethod
    def stock(cls, symbol: str, exchange: str = "SMART", currency: str = "USD") -> Self:
        """Return a share, e.g. ``Instrument.stock("AAPL")``."""
        return cls(symbol, SecurityType.STOCK, exchange, currency)

    @classmethod
    def option(
        cls,
        symbol: str,
        expiry: date,
        strike: Decimal | str | int,
        right: Right | str,
        exchange: str = "SMART",
        currency: str = "USD",
        multiplier: Decimal | str | int = 100,
    ) -> Self:
        """Return a listed option on ``symbol``; ``right`` is ``"C"`` or ``"P"``."""
        return cls(
            symbol,
            SecurityType.OPTION,
            exchange,
            currency,
            expiry,
            decimal(strike),
            _right(right),
            decimal(multiplier),
        )

    @classmethod
    def future(
        cls,
        symbol: str,
        expiry: date,
        exchange: str,
        currency: str = "USD",
        multiplier: Decimal | str | int = 1,
    ) -> Self:
        """Return a future that expires on ``expiry``; ``multiplier`` is money per point."""
        return cls(
            symbol, SecurityType.FUTURE, exchange, currency, expiry, multiplier=decimal(multiplier)
        )

    @classmethod
    def forex(cls, pair: str, exchange: str = "IDEALPRO") -> Self:
        """Return a currency pair, e.g. ``Instrument.forex("EURUSD")`` or ``"EUR.USD"``."""
        letters = pair.replace(".", "").replace("/", "")
        if len(letters) != 6 or not letters.isalpha():
            raise InvalidValue(
                f"a currency pair is two three-letter codes, not {pair!r}", hint="such as 'EURUSD'"
            )
        return cls(letters[:3].upper(), SecurityType.FOREX, exchange, letters[3:].upper())

    @classmethod
    def index(cls, symbol: str, exchange: str, currency: str = "USD") -> Self:
        """Return an index: it has quotes and no orders."""
        return cls(symbol, SecurityType.INDEX, exchange, currency)

    @classmethod
    def combo(
        cls, symbol: str, legs: tuple[ComboLeg, ...], exchange: str = "SMART", currency: str = "USD"
    ) -> Self:
        """Return several instruments that trade as one."""
        return cls(symbol, SecurityType.COMBO, exchange, currency, legs=legs)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back what ``id`` wrote; a bare symbol is a US stock. Combos cannot be parsed.

        Raises InvalidValue for any other text.
        """
        if ":" not in text:
            return cls.stock(text)
        try:
            return cls._from_parts(*text.split(":"))
        except (ValueError, TypeError, ArithmeticError):
            raise InvalidValue(
                f"{text!r} is not an instrument's id",
                hint="a US stock is its symbol; others are such as 'FUT:ES:CME:USD:20261218:::50'",
            ) from None

    @classmethod
    def _from_parts(cls, kind: str, symbol: str, exchange: str, currency: str, *rest: str) -> Self:
        security_type = SecurityType(kind)
        if security_type in (SecurityType.OPTION, SecurityType.FUTURE):
            expiry, strike, right, multiplier = rest
            return cls(
                symbol,
                security_type,
                exchange,
                currency,
                date(int(expiry[:4]), int(expiry[4:6]), int(expiry[6:])) if expiry else None,
                decimal(strike) if strike else None,
                Right(right) if right else None,
                decimal(multiplier),
            )
        if rest or security_type is SecurityType.COMBO:
            raise ValueError("too many parts")
        return cls(symbol, security_type, exchange, currency)

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and unpickled values must be the one interned object, or look-ups by identity miss.
        return (type(self), attrs.astuple(self, recurse=False)[:-1])

    def __str__(self) -> str:
        if self.security_type is SecurityType.FOREX:
            return f"{self.symbol}.{self.currency}"
        if self.security_type is SecurityType.OPTION and self.expiry:
            return f"{self.symbol} {self.expiry:%Y%m%d} {_text(self.strike)} {self.right}"
        if self.security_type is SecurityType.FUTURE and self.expiry:
            return f"{self.symbol} {self.expiry:%Y%m%d}"
        return self.symbol

    def __repr__(self) -> str:
        return f"Instrument({self.id!r})"


class Side(StrEnum):
    """The side of an order or execution."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for a purchase, -1 for a sale."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The side that closes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


@attrs.frozen
class ComboLeg:
    """One instrument of a combo; ``ratio`` is a positive count."""

    instrument: Instrument
    side: Side
    ratio: int = 1


@attrs.frozen
class Candidate:
    """One of the contracts that a description fits. ``instrument`` names this one alone, unless
    contracts differ in what an instrument does not tell: ``primary_exchange``, ``trading_class``.
    """

    instrument: Instrument
    broker_id: str
    local_symbol: str = ""
    primary_exchange: str = ""
    trading_class: str = ""

    @property
    def symbol(self) -> str:
        """The symbol."""
        return self.instrument.symbol

    @property
    def exchange(self) -> str:
        """Where it is traded, or what routes orders there."""
        return self.instrument.exchange

    @property
    def currency(self) -> str:
        """What it is priced in."""
        return self.instrument.currency

    @property
    def expiry(self) -> date | None:
        """The day it ends, where it does."""
        return self.instrument.expiry

    @property
    def strike(self) -> Decimal | None:
        """An option's strike."""
        return self.instrument.strike

    @property
    def right(self) -> Right | None:
        """An option's right."""
        return self.instrument.right

    def __str__(self) -> str:
        """Return the id to write, and what tells it from others that have the same."""
        rest = (f"number {self.broker_id}", self.local_symbol, self.primary_exchange)
        named = ", ".join(each for each in (*rest, self.trading_class) if each)
        return f"{self.instrument.id} ({named})"


@attrs.frozen
class InstrumentDefinition:
    """What the broker says of an instrument.

    ``price_increments`` are (from price, tick) pairs in rising order, by the market rule of the
    exchange that the order goes to, which may be coarser than ``min_tick``. ``liquid_hours`` are
    (open, close) pairs, aware UTC, as far ahead as the broker told; empty where it told none.
    ``multiplier`` is the broker's own word on money per point; None where it said none.
    """

    instrument: Instrument
    broker_id: str
    local_symbol: str = ""
    trading_class: str = ""
    primary_exchange: str = ""
    long_name: str = ""
    min_tick: Decimal = Decimal("0.01")
    price_increments: tuple[tuple[Decimal, Decimal], ...] = ()
    min_size: Decimal = Decimal(1)
    size_increment: Decimal = Decimal(1)
    time_zone: str = ""
    liquid_hours: tuple[tuple[datetime, datetime], ...] = ()
    multiplier: Decimal | None = None

    def tick_at(self, price: Decimal) -> Decimal:
        """Return the price increment that holds at ``price``."""
        tick = self.min_tick
        for low_edge, increment in self.price_increments:
            if abs(price) >= low_edge:
                tick = increment
        return tick
