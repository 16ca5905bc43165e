"""The settings of every rule, with their defaults: ``[rules.NAME]``. Times are seconds."""

from __future__ import annotations

import attrs


@attrs.frozen
class Terms:
    """Settings of every rule: how long bad before it fires, and how long well after."""

    for_seconds: float = 0.0
    keep_firing_for: float = 0.0


@attrs.frozen
class ErrorRateSettings(Terms):
    """Percent over ``window`` seconds; at least ``min_errors`` and ``min_orders`` to trip."""

    keep_firing_for: float = 30.0
    trip: float = 1.0
    clear: float = 0.5
    window: float = 300.0
    min_errors: int = 3
    min_orders: int = 20


@attrs.frozen
class LatencySettings(Terms):
    """Milliseconds. p99 of ``min_samples`` in ``window`` seconds, or p90 of ``few_samples``.

    The way from wire to acknowledgement trips at ``baseline_trip`` times its own baseline, the
    median over the hour before the window, and at least ``baseline_margin_ms`` above it.
    """

    for_seconds: float = 30.0
    keep_firing_for: float = 30.0
    trip: float = 25.0
    clear: float = 20.0
    window: float = 30.0
    min_samples: int = 100
    few_samples: int = 20
    baseline_trip: float = 3.0
    baseline_clear: float = 2.0
    baseline_margin_ms: float = 50.0
    baseline_min_ticks: int = 120


@attrs.frozen
class ThroughputSettings(Terms):
    """Reads a second over ``window`` seconds, and percent of the subscriptions that are alive.

    Alive: ticked, or confirmed without a tick, within ``alive_seconds``.
    """

    for_seconds: float = 60.0
    keep_firing_for: float = 30.0
    served_trip: float = 1_000.0
    served_clear: float = 1_100.0
    window: float = 10.0
    ticking_trip: float = 90.0
    ticking_clear: float = 95.0
    min_subscriptions: int = 5
    alive_seconds: float = 15.0


@attrs.frozen
class DataLatencySettings(Terms):
    """Milliseconds for reads; seconds for quotes.

    A quote trips when it is unconfirmed for longer than ``stale_seconds`` and ``stale_gaps``
    times its own usual gap; before ``learn_ticks`` ticks of it were seen, ``stale_unlearned``.
    """

    for_seconds: float = 5.0
    keep_firing_for: float = 15.0
    trip: float = 1.0
    clear: float = 0.7
    window: float = 30.0
    min_samples: int = 100
    stale_seconds: float = 5.0
    stale_gaps: float = 10.0
    stale_unlearned: float = 60.0
    learn_ticks: int = 120
    max_symbols: int = 500


@attrs.frozen
class MemorySettings(Terms):
    """Percent of the nearest limit; ``default_limit_mb`` where no limit is known.

    The forecast trips when memory that grew in each of ``forecast_parts`` parts of
    ``forecast_window`` seconds crosses ``trip`` within ``forecast_minutes``.
    """

    for_seconds: float = 5.0
    keep_firing_for: float = 30.0
    trip: float = 80.0
    clear: float = 75.0
    default_limit_mb: float = 8_192.0
    forecast_minutes: float = 30.0
    forecast_window: float = 600.0
    forecast_parts: int = 6


@attrs.frozen
class CpuSettings(Terms):
    """Percent, mean over ``window`` seconds. Critical at ``lag_ms`` event-loop lag p99 too."""

    for_seconds: float = 30.0
    keep_firing_for: float = 30.0
    trip: float = 90.0
    clear: float = 80.0
    window: float = 10.0
    lag_ms: float = 100.0


@attrs.frozen
class LoopLagSettings(Terms):
    """Milliseconds, p99 over ``window`` seconds."""

    for_seconds: float = 10.0
    keep_firing_for: float = 15.0
    trip: float = 100.0
    clear: float = 50.0
    window: float = 30.0
    min_samples: int = 20


@attrs.frozen
class MissedTicksSettings(Terms):
    """Ticks over ``window`` seconds."""

    keep_firing_for: float = 15.0
    trip: float = 2.0
    window: float = 60.0


@attrs.frozen
class ClockSkewSettings(Terms):
    """Milliseconds between our clock and the broker's."""

    for_seconds: float = 10.0
    keep_firing_for: float = 30.0
    trip: float = 50.0
    clear: float = 25.0


@attrs.frozen
class LinkSettings(Terms):
    """The link must be up again for ``keep_firing_for`` seconds before it counts as back."""

    keep_firing_for: float = 5.0


@attrs.frozen
class UnknownOrderSettings(Terms):
    """One is enough."""

    trip: int = 1


@attrs.frozen
class ProtectionSettings(Terms):
    """An exit may need a moment from its entry's fill until it works."""

    for_seconds: float = 3.0


@attrs.frozen
class SurplusSettings(Terms):
    """What an exit's sibling filled comes off it a moment later; a change of ours takes seconds."""

    for_seconds: float = 15.0


@attrs.frozen
class PositionSettings(Terms):
    """How many comparisons in a row must differ.

    One is enough by default: a comparison is made only when no fill is on its way, and takes over
    what the broker says, so that the next one rarely differs again.
    """

    times: int = 1


@attrs.frozen
class PacingSettings(Terms):
    """Percent of the broker's message limit that is left."""

    for_seconds: float = 5.0
    keep_firing_for: float = 10.0
    trip: float = 10.0
    clear: float = 20.0
