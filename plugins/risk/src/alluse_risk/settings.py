"""Limits of the pre-trade controls. Every number is a setting; these are the defaults.

Sources of the controls: [E] RTS 6 Art. 15, [K] RTS 6 Art. 12, [S] SEC 15c3-5, [F] FIA 2015,
[N] nautilus_trader, [U] NI 23-103, [I] Interactive Brokers.
"""

from __future__ import annotations

from decimal import Decimal

import attrs


def _positive(_: object, field: attrs.Attribute[Decimal], value: Decimal) -> None:
    if value <= 0:
        raise ValueError(f"{field.name} must be positive, not {value}")


@attrs.frozen
class MaxQuantitySettings:
    """``[stages.max_quantity]``: ``limit`` in units of the instrument."""

    limit: Decimal = attrs.field(default=Decimal(10_000), validator=_positive)


@attrs.frozen
class MaxValueSettings:
    """``[stages.max_value]``: ``limit`` in the instrument's currency, multiplier included."""

    limit: Decimal = attrs.field(default=Decimal(1_000_000), validator=_positive)


@attrs.frozen
class PriceCollarSettings:
    """``[stages.price_collar]``: ``percent`` an order's price may be away from the market."""

    percent: Decimal = attrs.field(default=Decimal(10), validator=_positive)


@attrs.frozen
class MessageRateSettings:
    """``[stages.message_rate]``: at most ``limit`` orders in any ``seconds``."""

    limit: int = attrs.field(default=200, validator=attrs.validators.gt(0))
    seconds: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))


@attrs.frozen
class DuplicateOrderSettings:
    """``[stages.duplicate_order]``: how long the same order may not come again, in ``seconds``."""

    seconds: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))


@attrs.frozen
class StaleQuoteSettings:
    """``[stages.stale_quote]``: how long ago, in seconds, the quote must have been confirmed."""

    max_age: float = attrs.field(default=5.0, validator=attrs.validators.gt(0))


@attrs.frozen
class PositionCapSettings:
    """``[stages.position_cap]``: ``limit`` in units, of one instrument in one account."""

    limit: Decimal = attrs.field(default=Decimal(20_000), validator=_positive)


@attrs.frozen
class UnknownCapSettings:
    """``[stages.unknown_cap]``: with more than ``limit`` UNKNOWN orders no new risk is taken."""

    limit: int = attrs.field(default=3, validator=attrs.validators.ge(0))
