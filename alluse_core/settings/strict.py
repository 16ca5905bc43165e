"""From text and TOML values to typed settings, strictly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, TypeVar, get_args, get_origin

import attrs
import cattrs

from alluse_core.errors import SettingsError, did_you_mean

T = TypeVar("T", bound=attrs.AttrsInstance)

_SECRET_WORDS = ("secret", "password", "token", "api_key")


def is_secret(name: str) -> bool:
    """Return whether a setting of this name is hidden wherever settings are shown."""
    return any(word in name for word in _SECRET_WORDS)


class EnvironmentText(str):
    """A value from the environment, where everything is text and is read by the field's type."""

    __slots__ = ()


def structure(
    values: Mapping[str, Any], settings_type: type[T], path: str, origins: Mapping[str, str]
) -> T:
    """Return ``values`` as ``settings_type``; raise SettingsError that names the path and origin.

    Strict: ``"false"`` is no bool and 3.9 no int. Text of the environment is read by the type.
    """
    fields = {field.name for field in attrs.fields(settings_type)}
    for name in values:
        if name not in fields:
            dotted = f"{path}.{name}"
            raise SettingsError(
                f"{dotted} is not a setting{did_you_mean(name, fields)}"
                f" (from {origins.get(dotted, 'the settings given')})",
                hint=f"[{path}] takes {', '.join(sorted(fields)) or 'no settings'}",
            )
    try:
        return _converter().structure(values, settings_type)
    except cattrs.ClassValidationError as error:
        raise _settings_error(error, values, path, origins) from None


def _settings_error(
    error: cattrs.ClassValidationError,
    values: Mapping[str, Any],
    path: str,
    origins: Mapping[str, str],
) -> SettingsError:
    grouped, ungrouped = error.group_exceptions()
    cause, note = grouped[0] if grouped else (ungrouped[0], None)
    name = note.name if note is not None else ""
    while isinstance(cause, cattrs.BaseValidationError) and cause.exceptions:
        cause = cause.exceptions[0]
    dotted = f"{path}.{name}" if name else path
    shown = "***" if is_secret(name) else repr(values.get(name))
    origin = origins.get(dotted, "the settings given")
    return SettingsError(f"{dotted} = {shown}: {cause} (from {origin})")


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True)
    for kind in (bool, int, float, str):
        converter.register_structure_hook(kind, _strict_scalar)
    converter.register_structure_hook(Decimal, _strict_decimal)
    converter.register_structure_hook_func(_is_tuple, partial(_strict_tuple, converter))
    return converter


def _strict_scalar(value: Any, kind: type) -> Any:
    if isinstance(value, EnvironmentText):
        return _from_text(value, kind)
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits or (kind is float and not math.isfinite(value)):
        raise ValueError(f"must be {_KIND_WORDS[kind]}, not {type(value).__name__}")
    return kind(value)


_KIND_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "text",
}


def _from_text(text: str, kind: type) -> Any:
    if kind is bool:
        word = text.strip().lower()
        if word not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
            raise ValueError(f"must be true or false, not {text!r}")
        return word in ("true", "1", "yes", "on")
    if kind is str:
        return str(text)
    try:
        number = kind(text)
    except ValueError:
        raise ValueError(f"must be {_KIND_WORDS[kind]}, not {text!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"must be {_KIND_WORDS[kind]}, not {text!r}")
    return number


def _strict_decimal(value: Any, _: type) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError(f"must be a number, not {type(value).__name__}")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"must be a number, not {value!r}") from None
    if not number.is_finite():
        raise ValueError(f"must be a finite number, not {value!r}")
    return number


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _strict_tuple(converter: cattrs.Converter, value: Any, kind: Any) -> tuple[Any, ...]:
    item_type = get_args(kind)[0]
    if isinstance(value, EnvironmentText):
        value = [EnvironmentText(part.strip()) for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list, not {type(value).__name__}")
    return tuple(converter.structure(item, item_type) for item in value)
