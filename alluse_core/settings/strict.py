"""From text and TOML values to typed settings, strictly."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache, partial
from typing import Any, TypeVar, get_args, get_origin

import attrs
import cattrs

from alluse_core.errors import PluginError, SettingsError, did_you_mean

T = TypeVar("T", bound=attrs.AttrsInstance)

_SECRET_WORDS = (
    "secret",
    "password",
    "passphrase",
    "token",
    "api_key",
    "private_key",
    "credential",
)


def is_secret(name: str) -> bool:
    """Return whether a setting of this name is hidden wherever settings are shown."""
    return any(word in name.lower() for word in _SECRET_WORDS)


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
                f" (from {origin_of(dotted, origins)})",
                hint=f"[{path}] takes {', '.join(sorted(fields)) or 'no settings'}",
            )
    try:
        return _converter().structure(values, settings_type)
    except cattrs.ClassValidationError as error:
        raise _settings_error(error, values, path, origins) from None
    except (cattrs.errors.StructureHandlerNotFoundError, NameError) as error:
        raise PluginError(
            f"the settings of [{path}] cannot be read: {error}",
            hint="settings are bool, int, float, str, Decimal, Path, enums, and tuples or mappings",
        ) from None


def _settings_error(
    error: cattrs.ClassValidationError,
    values: Mapping[str, Any],
    path: str,
    origins: Mapping[str, str],
) -> SettingsError:
    grouped, ungrouped = error.group_exceptions()
    cause, note = grouped[0] if grouped else (ungrouped[0], None)
    while isinstance(cause, cattrs.BaseValidationError) and cause.exceptions:
        cause = cause.exceptions[0]
    reason = str(cause.args[0] if cause.args else cause)
    if isinstance(cause, cattrs.ForbiddenExtraKeysError):
        reason = _not_a_setting(cause)
    for secret in secrets_in(values):
        reason = reason.replace(repr(secret), "***").replace(str(secret), "***")
    name = note.name if note is not None else _named_by_validator(reason, values)
    if not name:
        return SettingsError(f"{path}: {reason} (from {origin_of(path, origins)})")
    dotted = f"{path}.{name}"
    if isinstance(values[name], list) and any(isinstance(item, Mapping) for item in values[name]):
        # A list of tables is too long to be repeated; the reason says which of them it is.
        return SettingsError(f"[[{dotted}]] {reason} (from {origin_of(dotted, origins)})")
    shown = hidden(name, values[name])
    return SettingsError(f"{dotted} = {shown!r}: {reason} (from {origin_of(dotted, origins)})")


def _not_a_setting(error: cattrs.ForbiddenExtraKeysError) -> str:
    known = [field.name for field in attrs.fields(error.cl)]
    first = min(error.extra_fields)
    return f"{', '.join(sorted(error.extra_fields))} is not a setting{did_you_mean(first, known)}"


def _reason_of_entry(error: cattrs.BaseValidationError) -> str:
    """Return what is wrong with one table of a list, by the name of its setting."""
    cause: BaseException = error
    name = ""
    while isinstance(cause, cattrs.BaseValidationError) and cause.exceptions:
        if isinstance(cause, cattrs.ClassValidationError):
            grouped, _ = cause.group_exceptions()
            name = f"{grouped[0][1].name}: " if grouped else ""
        cause = cause.exceptions[0]
    if isinstance(cause, cattrs.ForbiddenExtraKeysError):
        return _not_a_setting(cause)
    if isinstance(cause, KeyError):
        return f"{cause.args[0]} is missing"
    return f"{name}{cause}"


def _named_by_validator(reason: str, values: Mapping[str, Any]) -> str:
    # The validators of attrs put the field's name into their text and into no other place.
    return next((word for word in re.findall(r"'(\w+)'", reason) if word in values), "")


def secrets_in(values: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the values that are hidden wherever settings are shown, those of tables below too."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from secrets_in(value)
        elif is_secret(name) and value:
            yield value


def hidden(name: str, value: Any) -> Any:
    """Return ``value`` with every secret in it as ``***``."""
    if isinstance(value, Mapping):
        return {key: hidden(str(key), item) for key, item in value.items()}
    if attrs.has(type(value)):
        return hidden(name, attrs.asdict(value, recurse=False))
    return "***" if is_secret(name) and value else value


def origin_of(path: str, origins: Mapping[str, str], otherwise: str = "the settings given") -> str:
    """Return where the value at a dotted path, or the first one below it, came from."""
    return origins.get(path) or next(
        (origin for dotted, origin in origins.items() if dotted.startswith(f"{path}.")),
        otherwise,
    )


@cache
def _converter() -> cattrs.Converter:
    # One for all: it compiles a function for each settings type, which costs milliseconds.
    converter = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    for kind in (bool, int, float, str):
        converter.register_structure_hook(kind, _strict_scalar)
    converter.register_structure_hook(Decimal, _strict_decimal)
    converter.register_structure_hook_func(_is_enum, _strict_enum)
    converter.register_structure_hook_func(_is_sequence, partial(_strict_sequence, converter))
    return converter


def _strict_scalar(value: Any, kind: type) -> Any:
    if _is_enum(kind):
        # cattrs picks a hook by base class, and an enum of text is a subclass of str.
        return _strict_enum(value, kind)
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


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _strict_enum(value: Any, kind: type[Enum]) -> Enum:
    try:
        return kind(value)
    except ValueError:
        names = [str(member.value) for member in kind]
        near = did_you_mean(str(value), names)
        raise ValueError(f"must be one of {', '.join(names)}, not {value!r}{near}") from None


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list, Sequence)


def _strict_sequence(converter: cattrs.Converter, value: Any, kind: Any) -> Any:
    made = list if get_origin(kind) is list else tuple
    item_types = get_args(kind) if get_origin(kind) is tuple else (*get_args(kind), ...)
    if isinstance(value, EnvironmentText):
        value = [EnvironmentText(part.strip()) for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list, not {type(value).__name__}")
    if item_types[-1] is Ellipsis:
        item_types = item_types[:1] * len(value)
    if len(value) != len(item_types):
        raise ValueError(f"must be a list of {len(item_types)}, not of {len(value)}")
    pairs = zip(value, item_types, strict=True)
    return made(
        _strict_item(converter, item, item_type, place)
        for place, (item, item_type) in enumerate(pairs, 1)
    )


def _strict_item(converter: cattrs.Converter, item: Any, item_type: Any, place: int) -> Any:
    if not attrs.has(item_type):
        return converter.structure(item, item_type)
    if not isinstance(item, Mapping):
        raise ValueError(f"number {place} must be a table, not {type(item).__name__}")
    try:
        return converter.structure(item, item_type)
    except cattrs.BaseValidationError as error:
        raise ValueError(f"number {place}: {_reason_of_entry(error)}") from None
