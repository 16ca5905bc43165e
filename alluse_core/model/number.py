"""The exact numbers of orders and instruments, and which of them cannot be meant."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from alluse_core.errors import InvalidType, InvalidValue

# So many digits Decimal adds up without rounding: a sum of positions is exact. Decimal(0.1),
# a float in disguise, has 55.
_DIGITS: Final = 28
_GIVEN: Final = (Decimal, str, int)
_REFUSED: Final = (float, bool)
_LARGEST: Final = 15
_SMALLEST: Final = -18
_LONGEST: Final = 100


def decimal(value: Decimal | str | int) -> Decimal:
    """Return ``value`` as a finite Decimal of at most 28 digits, below 10**15 and not below 1E-18.

    Floats are refused: 0.1 is not a price. So are digits other than 0 to 9, and ``1_000``. Raises
    InvalidType or InvalidValue.
    """
    # Each order asks here twice or more: a union of types would be made anew each time.
    if isinstance(value, _REFUSED) or not isinstance(value, _GIVEN):
        raise _no_decimal(value)
    number = _plain(value) if isinstance(value, str) else Decimal(value)
    check_decimal(number)
    return number


def check_decimal(number: Decimal) -> None:
    """Raise InvalidType or InvalidValue for what no price, strike or quantity can be."""
    if not isinstance(number, Decimal):
        raise _no_decimal(number)
    if not number.is_finite():
        raise InvalidValue(f"{number} is not a finite number", hint="leave out what is not known")
    # As text it has each of its digits; those alone come as a tuple that has to be made.
    if len(str(number)) > _DIGITS and (digits := len(number.as_tuple().digits)) > _DIGITS:
        raise InvalidValue(
            f"a number of {digits} digits is not exact in sums, which have {_DIGITS}",
            hint="round it to the instrument's increment; of a float take Decimal(str(x))",
        )
    if not _SMALLEST <= number.adjusted() < _LARGEST:
        raise InvalidValue(
            f"{number} is no price or quantity: those are below 1E+{_LARGEST} and zero or not below"
            f" 1E{_SMALLEST}",
            hint="look at where it was computed",
        )


def _no_decimal(value: object) -> InvalidType:
    return InvalidType(
        f"prices and quantities are Decimal, str or int, not {type(value).__name__}",
        hint='write them as text: "189.50"',
    )


def _plain(text: str) -> Decimal:
    if len(text) > _LONGEST:
        raise InvalidValue(
            f"{text[:20]!r}... ({len(text)} characters) is not a number",
            hint="write digits and a point",
        )
    try:
        # Decimal itself takes 1_000 and the digits of every script.
        if "_" in text or not text.isascii():
            raise InvalidOperation
        return Decimal(text)
    except InvalidOperation:
        raise InvalidValue(
            f"{text!r} is not a number", hint='write digits and a point: "1000.50"'
        ) from None
