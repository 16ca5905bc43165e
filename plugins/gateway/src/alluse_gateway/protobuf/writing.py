"""Writes the values of a message as fields of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from alluse_gateway.wire import number

Writer = Callable[[Any, list[str]], None]
"""Appends fields that no word says: of a list, of a map, or of what the message itself decides."""


def put(message: Any, name: str) -> str:
    """Return one scalar as text; empty where it is absent."""
    return scalar(getattr(message, name)) if message.HasField(name) else ""


def flattened(message: Any, prefix: str = "") -> dict[str, str]:
    """Return every scalar that is there as text, by its path: ``reqId``, ``contract.symbol``.

    Lists and maps are left out.
    """
    flat = {}
    for field, value in message.ListFields():
        if isinstance(value, (str, int, float)):
            flat[prefix + field.name] = scalar(value)
        elif isinstance(value, Message):
            flat |= flattened(value, f"{prefix}{field.name}.")
    return flat


def scalar(value: str | float) -> str:
    """Return a value as text."""
    if value is True or value is False:
        return flag(value)
    if isinstance(value, float):
        return "nan" if value != value else number(value)
    return printed(value) if isinstance(value, str) else str(value)


def printed(value: str) -> str:
    """Return text without NUL, which ends a field of text and is in none."""
    return value.replace("\0", "") if "\0" in value else value


def flag(value: bool) -> str:
    """Return a flag as text."""
    return "1" if value else "0"


def tags_joined(options: Mapping[str, str]) -> str:
    """Return tags and values as ``tag=value;tag=value;``."""
    return printed("".join([f"{tag}={value};" for tag, value in ordered(options)]))


def ordered(options: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return tags and values by tag: protobuf keeps no order of its own."""
    return sorted(options.items())
