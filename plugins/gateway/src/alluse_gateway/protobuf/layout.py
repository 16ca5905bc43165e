"""Reads the text of an answer into a message, by a row that says what stands where.

A row is read from left to right, one field of text per word:

====================  ============================================================================
``name``              the field of that name
``name~``             free text, which is escaped in the text form and is not in protobuf
``_``                 a field that protobuf does not have, passed over
``name(...)``         what stands in brackets belongs to the message in that field
``name*(...)``        a counted list of messages
``name*``             a counted list of scalars
``name{}``            a counted list of tags and values, into a map
``name?(...)``        the field, and what stands in brackets only where it is there; a message has a
                      flag in its place, and its own fields stand in brackets
``?name(...)``        what stands in brackets, where that field was there before
``@name``             a step that no word says
====================  ============================================================================

An empty field, and one that holds TWS's word for "no value", stays absent from the message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from alluse_gateway.protobuf.schema import Field, schema
from alluse_gateway.wire import UNSET_INT, UNSET_LONG

Fields = Iterator[str]
Step = Callable[[Fields, Any], None]
"""Takes from the fields what it needs and puts it into the message."""

Scalar = tuple[str, Callable[[str], Any]]
"""The name of a field and how its text is read; the empty name is passed over."""

_UNSET_DOUBLE = 1.7976931348623157e308
_WORDS = re.compile(r"[()]|[^\s()]+")
_ESCAPED = re.compile(r"\\(?:\\|[abfnrtv'\"]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})")


def layout(message: str, row: str, steps: Mapping[str, Step] | None = None) -> Step:
    """Return the step that reads ``row`` into a message of that name.

    ``steps`` are the ones that ``@`` names. Raises KeyError where a word names no field.
    """
    words = iter(_WORDS.findall(row))
    step = _block(message, words, steps or {})
    if next(words, None) is not None:
        raise ValueError(f"{message}: a bracket is closed that was not opened")
    return step


def _block(message: str, words: Iterator[str], named: Mapping[str, Step]) -> Step:
    """Compile words up to the bracket that closes them, or to the end."""
    steps: list[Step] = []
    scalars: list[Scalar] = []
    for word in words:
        if word == ")":
            break
        scalar = _scalar_of(message, word)
        if scalar is not None:
            scalars.append(scalar)
            continue
        if scalars:
            steps.append(_run(scalars))
            scalars = []
        steps.append(_step(message, word, words, named))
    if scalars:
        steps.append(_run(scalars))
    if len(steps) == 1:
        return steps[0]
    every = tuple(steps)

    def block(fields: Fields, target: Any) -> None:
        for step in every:
            step(fields, target)

    return block


def _scalar_of(message: str, word: str) -> Scalar | None:
    """Return the name and the reader of a word that stands for one scalar; None for another."""
    if word == "_":
        return "", READERS["string"]
    if word[0] in "@?" or word[-1] in "?*}":
        return None
    field = schema().fields[message][word.rstrip("~")]
    if field.is_message or field.repeated:
        return None
    return field.name, READERS["escaped" if word.endswith("~") else field.kind]


def _step(message: str, word: str, words: Iterator[str], named: Mapping[str, Step]) -> Step:
    if word.startswith("@"):
        return named[word[1:]]
    field = schema().fields[message][word.strip("?*{}")]
    if word.endswith("{}"):
        return _map(field.name)
    if word.startswith("?"):
        return _where(field.name, _inner(message, field, words, named))
    if word.endswith("?"):
        return _optional(field, _inner(message, field, words, named))
    if not field.is_message:
        return _scalars(field)
    inner = _inner(message, field, words, named)
    return _messages(field.name, inner) if field.repeated else _message(field.name, inner)


def _inner(message: str, field: Field, words: Iterator[str], named: Mapping[str, Step]) -> Step:
    if next(words) != "(":
        raise ValueError(f"{message}: a bracket is missing after {field.name}")
    return _block(field.kind if field.is_message else message, words, named)


# --- steps --------------------------------------------------------------------------------------


def _run(scalars: list[Scalar]) -> Step:
    row = tuple(scalars)

    def run(fields: Fields, target: Any) -> None:
        for name, read in row:
            field = next(fields)
            if field and name:
                value = read(field)
                if value is not None:
                    setattr(target, name, value)

    return run


def _scalars(field: Field) -> Step:
    name, read = field.name, READERS[field.kind]

    def scalars(fields: Fields, target: Any) -> None:
        into = getattr(target, name)
        for _ in range(count(fields)):
            value = read(next(fields))
            if value is not None:
                into.append(value)

    return scalars


def _message(name: str, inner: Step) -> Step:
    def message(fields: Fields, target: Any) -> None:
        part = getattr(target, name)
        part.SetInParent()
        inner(fields, part)

    return message


def _messages(name: str, inner: Step) -> Step:
    def messages(fields: Fields, target: Any) -> None:
        into = getattr(target, name)
        for _ in range(count(fields)):
            inner(fields, into.add())

    return messages


def _map(name: str) -> Step:
    def tags(fields: Fields, target: Any) -> None:
        into = getattr(target, name)
        for _ in range(count(fields)):
            tag = read_text(next(fields)) or ""
            into[tag] = read_text(next(fields)) or ""

    return tags


def _where(name: str, inner: Step) -> Step:
    def where(fields: Fields, target: Any) -> None:
        if getattr(target, name):
            inner(fields, target)

    return where


def _optional(field: Field, inner: Step) -> Step:
    name = field.name
    if field.is_message:

        def part(fields: Fields, target: Any) -> None:
            if read_flag(next(fields)):
                inner(fields, getattr(target, name))

        return part
    read = READERS[field.kind]

    def scalar(fields: Fields, target: Any) -> None:
        value = read(next(fields))
        if value is not None:
            setattr(target, name, value)
        if value:
            inner(fields, target)

    return scalar


# --- values -------------------------------------------------------------------------------------


def count(fields: Fields) -> int:
    """Read the length of a list."""
    return int(next(fields) or 0)


def read_int(field: str) -> int | None:
    """Read an integer of 32 bits; None where it is unset."""
    if not field:
        return None
    value = int(field)
    return None if value == UNSET_INT else value


def _read_long(field: str) -> int | None:
    if not field:
        return None
    value = int(field)
    return None if value == UNSET_LONG else value


def read_double(field: str) -> float | None:
    """Read a number; None where it is unset."""
    if not field:
        return None
    value = float(field.replace("Infinite", "inf"))
    return None if value == _UNSET_DOUBLE or value != value else value


def read_flag(field: str) -> bool | None:
    """Read a flag; None where it is unset."""
    return field not in ("0", "false") if field else None


def read_text(field: str) -> str | None:
    """Read text; None where it is empty."""
    if not field:
        return None
    if not field.isascii():
        # Bytes that were no UTF-8, and halves of surrogate pairs, have no place in protobuf.
        field = field.encode("utf-8", "replace").decode("utf-8")
    return field


def read_escaped(field: str) -> str | None:
    """Read free text as it was before it was escaped; None where it is empty."""
    return read_text(_ESCAPED.sub(_unescaped, field) if "\\" in field else field)


def _unescaped(found: re.Match[str]) -> str:
    try:
        return found[0].encode("ascii").decode("unicode-escape")
    except UnicodeDecodeError:  # \U beyond the last character
        return found[0]


READERS: dict[str, Callable[[str], Any]] = {
    "string": read_text,
    "escaped": read_escaped,
    "int": read_int,
    "long": _read_long,
    "double": read_double,
    "bool": read_flag,
}
"""How the text of each scalar type is read, and free text."""
