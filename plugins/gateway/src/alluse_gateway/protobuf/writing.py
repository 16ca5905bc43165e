"""Writes the values of a message as fields of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from alluse_gateway.wire import number

Writer = Callable[[Any, list[str]], None]
"""Appends the fields that belong to a message's values."""


def put(message: Any, name: str) -> str:
    """Return one scalar as text; empty where it is absent."""
    if not message.HasField(name):
        return ""
    value = getattr(message, name)
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
