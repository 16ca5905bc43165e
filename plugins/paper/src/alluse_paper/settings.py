"""The settings of a ``[brokers.NAME]`` table whose provider is "paper"."""

from __future__ import annotations

import math

import attrs


def _positive(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{attribute.name} must be above zero, not {value}")


@attrs.frozen
class PaperSettings:
    """A simulated exchange in this process.

    ``replay`` is a recording (file or folder); empty means the synthetic market of ``seed`` with
    ``symbols`` instruments and the option chains of the stocks in ``chains``. ``speed`` is market
    seconds in a second. ``accounts`` are opened with ``deposit`` USD each. ``latency_ms`` is the
    median one-way delay of an order. ``enforce_hours`` False lets orders work at any
    market time.
    """

    replay: str = ""
    seed: int = 0
    symbols: int = attrs.field(default=20, validator=attrs.validators.ge(20))
    chains: tuple[str, ...] = ()
    speed: float = attrs.field(default=1.0, validator=_positive)
    accounts: tuple[str, ...] = attrs.field(
        default=("DU1000001",), validator=attrs.validators.min_len(1)
    )
    deposit: int = attrs.field(default=1_000_000, validator=attrs.validators.ge(0))
    latency_ms: float = attrs.field(default=5.0, validator=attrs.validators.ge(0.0))
    queue: bool = True
    enforce_hours: bool = True
    client_id: int = attrs.field(default=1, validator=attrs.validators.ge(0))
