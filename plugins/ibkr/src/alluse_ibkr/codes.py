"""Codes of the TWS API that are acknowledgements of the protocol, by their names.

They tell of the socket, the link and the farms, or which check of the doctor's a message belongs
to. What a code means for an order or a request is the table's to say (``Context.classify``), where
a user's rules count. Source: TWS API, "Message Codes".
"""

from __future__ import annotations

from collections.abc import Mapping

UPLINK_LOST, UPLINK_BACK_DATA_LOST, UPLINK_BACK, UPLINK_BROKEN = 1100, 1101, 1102, 2110

MARKET_FARM_BROKEN, MARKET_FARM_FINE, MARKET_FARM_IDLE = 2103, 2104, 2108
HISTORY_FARM_BROKEN, HISTORY_FARM_FINE, HISTORY_FARM_IDLE = 2105, 2106, 2107
DEFINITIONS_FARM_BROKEN, DEFINITIONS_FARM_FINE = 2157, 2158

FARMS_BROKEN: Mapping[int, str] = {
    MARKET_FARM_BROKEN: "market data",
    HISTORY_FARM_BROKEN: "historical data",
    DEFINITIONS_FARM_BROKEN: "definitions",
}
FARMS_FINE: Mapping[int, str] = {
    MARKET_FARM_FINE: "market data",
    HISTORY_FARM_FINE: "historical data",
    HISTORY_FARM_IDLE: "historical data",
    MARKET_FARM_IDLE: "market data",
    DEFINITIONS_FARM_FINE: "definitions",
}

CLIENT_ID_TAKEN, NOT_CONNECTED, BAD_LENGTH, PORT_CHANGED = 326, 504, 507, 1300

WARNINGS = range(2100, 2200)
"""IBKR's warnings: said with an order, none of them refuses it."""

NO_LINE_FREE = 101

DELAYED_AVAILABLE = 10089
"""No live data without a subscription; delayed data may come yet, if they were asked for."""

PRICE_INCREMENT, PRESET_CHANGED_IT, COMPETING_SESSION = 110, 10349, 10197
PRECAUTIONS = frozenset({109, 163, 164, 382, 383, 451})
"""A limit of TWS's own settings was exceeded by an order's price, size or value."""
