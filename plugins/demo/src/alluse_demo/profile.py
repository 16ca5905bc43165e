"""The demo's settings: shorter holds, windows and horizons, so that a minute shows all of it.

Nothing here pretends to be the production setting: reports of a session with this profile say
"demo profile". Limits, thresholds and pacing are the production ones.
"""

from __future__ import annotations

from typing import Any

_WINDOW = 10.0
_HOLD = 3.0


def settings(port: int, seconds: float) -> dict[str, Any]:
    """Return the settings of a demo session against the gateway on ``port``."""
    return {
        "alluse": {"tenant": "demo", "agent": "example"},
        "brokers": {
            "gateway": {
                "provider": "ibkr",
                "host": "127.0.0.1",
                "port": port,
                "heartbeat": 1.0,
                "reconnect_max": 2.0,
            }
        },
        "orders": {
            "default_broker": "gateway",
            "reconcile_every": 30.0,
            # Nobody sits beside a demo to close the breaker of an incident of rejects.
            "breaker_alike": 0,
        },
        "rules": {
            "trading_error_rate_high": {"window": _WINDOW, "keep_firing_for": _HOLD},
            "trading_latency_high": {
                "window": _WINDOW,
                "for_seconds": _HOLD,
                "keep_firing_for": _HOLD,
                "baseline_min_ticks": 5,
            },
        },
        "analysis": {"period": 15.0, "window": max(seconds, 60.0), "profile": "demo"},
        "analyzers": {
            "trend": {"fewest": 30},
            "anomaly": {"warm_up": 20},
            "isolation": {"fewest": 30, "recent": 10},
            "forecast": {
                "period": 1.0,
                "horizon": 5.0,
                "second_horizon": 15.0,
                "fewest_scored": 20,
                "profile": "demo",
            },
        },
    }
