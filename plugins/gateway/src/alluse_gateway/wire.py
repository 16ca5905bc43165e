"""Frames and fields of the TWS socket protocol, below the meaning of any message.

A message is a 4-byte big-endian length and that many bytes of payload; a payload is text fields,
each ended by one NUL byte. Text is UTF-8; bytes that are not survive a round trip unchanged.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from alluse_core.errors import BrokerError

MAX_FRAME = 256 * 1024
"""Bytes of one request. The longest real ones are under 16 KiB."""

UNSET_INT = 2**31 - 1
UNSET_LONG = 2**63 - 1
UNSET_INT_TEXT = str(UNSET_INT)
UNSET_DOUBLE = "1.7976931348623157E308"
"""How TWS spells "no value" in a field that holds a double."""

RAW_IDS = 201
"""From this server version a message's id is four raw bytes before its payload."""

_LENGTH = struct.Struct(">I")
_LARGEST = 1e15
"""Beyond this magnitude an order's number is a typing error, and its digits would fill memory."""


class FrameTooLong(BrokerError):
    """A length prefix asks for more than a frame may hold; the stream cannot be trusted further."""


class FieldError(ValueError):
    """A field is missing or is not what its place in the message says it is."""


class FrameReader:
    """Cuts a byte stream into payloads. Holds at most one unfinished frame and one read.

    Not thread-safe; one per connection.
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._data = bytearray()

    def __len__(self) -> int:
        return len(self._data)

    def preamble(self, expected: bytes) -> bool | None:
        """Consume ``expected`` raw bytes. None: not all there yet; False: something else came."""
        head = bytes(self._data[: len(expected)])
        if head != expected[: len(head)]:
            return False
        if len(head) < len(expected):
            return None
        del self._data[: len(expected)]
        return True

    def feed(self, data: bytes) -> None:
        """Add bytes as they came from the socket, cut anywhere."""
        self._data += data

    def frames(self) -> Iterator[bytes]:
        """Yield each whole payload. Raises FrameTooLong, after which no more can be read."""
        data, position = self._data, 0
        try:
            while len(data) - position >= 4:
                (length,) = _LENGTH.unpack_from(data, position)
                if length > self._max_frame:
                    raise FrameTooLong(
                        f"a frame of {length} bytes is announced; the limit is {self._max_frame}",
                        hint="the client's framing is lost, or it is no TWS client",
                    )
                end = position + 4 + length
                if len(data) < end:
                    break
                payload = bytes(data[position + 4 : end])
                position = end
                yield payload
        finally:
            del data[:position]


def kind_of(frame: bytes, version: int) -> int:
    """Return the message id of a frame that is sent at ``version``."""
    if version < RAW_IDS:
        return int(frame[4 : frame.index(b"\0", 4)])
    (kind,) = _LENGTH.unpack_from(frame, 4)
    # Beyond this the payload is protobuf; the message is the same.
    return int(kind) - 200 if kind > 200 else int(kind)


def frame(text: str) -> bytes:
    """Return ``text``, whose fields already end with NUL, as one frame."""
    payload = text.encode("utf-8", "surrogateescape")
    return _LENGTH.pack(len(payload)) + payload


def joined(*values: str) -> str:
    """Return ``values`` as fields."""
    return "\0".join(values) + "\0"


def message(*values: object) -> bytes:
    """Return one frame of ``values``, each written by :func:`text`."""
    return frame("".join([text(value) + "\0" for value in values]))


def fields_of(payload: bytes) -> list[str]:
    """Split a payload into its fields. Raises FieldError where the last is not ended."""
    if not payload.endswith(b"\0"):
        raise FieldError("the last field is not ended by a NUL byte")
    return payload[:-1].decode("utf-8", "surrogateescape").split("\0")


# --- writing values -----------------------------------------------------------------------------


def text(value: object) -> str:
    """Write a value as TWS does: flags as 1 and 0, absence as an empty field."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    return str(value)


def number(value: float) -> str:
    """Write a float; NaN is an empty field, and whole numbers carry no fraction."""
    if value != value:
        return ""
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == int(value) and abs(value) < _LARGEST:
        return str(int(value))
    return repr(value)


def decimal_text(value: Decimal) -> str:
    """Write a Decimal without exponent and without trailing zeros."""
    written = format(value, "f")
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return "0" if written in ("", "-0", "-") else written


def double(value: float | Decimal | None) -> str:
    """Write a number in a place where TWS spells absence as the largest double."""
    if value is None or value != value:
        return UNSET_DOUBLE
    return decimal_text(value) if isinstance(value, Decimal) else number(value)


def escaped(value: str) -> str:
    """Write free text as clients read it: 7 bits, other characters and backslashes escaped.

    NUL would end the field and is dropped.
    """
    if value.isascii() and "\\" not in value and "\0" not in value:
        return value
    return value.replace("\0", "").encode("unicode-escape").decode("ascii")


# --- reading values -----------------------------------------------------------------------------


def to_int(field: str, default: int | None = None) -> int:
    """Read an integer; an unset field is ``default``. Raises FieldError where it is None."""
    try:
        value = int(field) if field else UNSET_INT
    except ValueError:
        raise FieldError(f"{field[:40]!r} is not an integer") from None
    if value in (UNSET_INT, UNSET_LONG):
        if default is None:
            raise FieldError("an integer is missing")
        return default
    if not -(2**31) <= value < 2**31:
        raise FieldError("an integer is longer than 32 bits")
    return value


def to_flag(field: str) -> bool:
    """Read a flag; an unset field is false."""
    return to_int(field, 0) != 0


def to_decimal(field: str) -> Decimal | None:
    """Read a number of an order; None where it is unset in any of the three spellings."""
    if not field:
        return None
    try:
        value = Decimal(field)
    except InvalidOperation:
        raise FieldError(f"{field[:40]!r} is not a number") from None
    if not value.is_finite():
        if value.is_infinite() and value > 0:
            return None
        raise FieldError(f"{field[:40]!r} is not a finite number")
    if value.adjusted() >= 308 or value == UNSET_INT:
        return None
    exponent = value.as_tuple().exponent
    if value.adjusted() >= 15 or (isinstance(exponent, int) and exponent < -18):
        raise FieldError(f"{field[:40]!r} is not a number that an order can have")
    return value
