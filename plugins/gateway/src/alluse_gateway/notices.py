"""Error codes and their texts, as TWS words them."""

from __future__ import annotations

from typing import Final

MAX_RATE: Final = 100
MAX_TICKERS: Final = 101
DUPLICATE_TICKER: Final = 102
DUPLICATE_ORDER: Final = 103
CANNOT_MODIFY: Final = 104
DOES_NOT_MATCH: Final = 105
PERCENT_LIMIT: Final = 109
PRICE_VARIATION: Final = 110
CLOSE_TIF: Final = 113
ORDER_NOT_FOUND: Final = 135
NOT_CANCELLABLE: Final = 161
HISTORY_ERROR: Final = 162
NO_DEFINITION: Final = 200
REJECTED: Final = 201
CANCELLED: Final = 202
NO_TICKER: Final = 300
MAX_DEPTH: Final = 309
NO_DEPTH_TICKER: Final = 310
COMBO_INVALID: Final = 312
COMBO_LEG_INVALID: Final = 313
DEPTH_HALTED: Final = 316
DEPTH_RESET: Final = 317
READ_ERROR: Final = 320
VALIDATION: Final = 321
PROCESSING: Final = 322
CLIENT_ID_IN_USE: Final = 326
NOT_SUBSCRIBED: Final = 354
NO_SCAN: Final = 365
NO_HISTORY_QUERY: Final = 366
SIZE_LIMIT: Final = 383
ORDER_TYPE: Final = 387
SIZE_BELOW_MINIMUM: Final = 388
ORDER_MESSAGE: Final = 399
HELD_FOR_LOCATE: Final = 404
ZERO_SIZE: Final = 434
REAL_TIME_QUERY: Final = 420
UNKNOWN_MESSAGE: Final = 505
BAD_LENGTH: Final = 507
LINK_LOST: Final = 1100
LINK_RESTORED_DATA_LOST: Final = 1101
LINK_RESTORED: Final = 1102
MARKET_FARM_BROKEN: Final = 2103
MARKET_FARM_OK: Final = 2104
HISTORY_FARM_BROKEN: Final = 2105
HISTORY_FARM_OK: Final = 2106
SERVER_LINK_BROKEN: Final = 2110
DEFINITIONS_FARM_BROKEN: Final = 2157
DEFINITIONS_FARM_OK: Final = 2158
NO_DEPTH: Final = 10092
CANCEL_NOT_FOUND: Final = 10147
CANCEL_REFUSED: Final = 10148
DELAYED_DATA: Final = 10167
NO_ARTICLE: Final = 10172
MAX_TICK_BY_TICK: Final = 10190
NO_E_TRADE_ONLY: Final = 10268
NO_FIRM_QUOTE_ONLY: Final = 10269
NO_NBBO_PRICE_CAP: Final = 10270
NO_NEWS_FEED: Final = 10276
FRACTIONAL_SIZE: Final = 10243
PRESET_TIF: Final = 10349
NO_DELAYED_DATA: Final = 10168
NO_REGULATORY_SNAPSHOT: Final = 10170
LIVE_UPDATES_FAILED: Final = 10182
COMPETING_SESSION: Final = 10197
BAD_TIME: Final = 10314

BROADCASTS: Final = {
    LINK_LOST: "Connectivity between IBKR and Trader Workstation has been lost.",
    LINK_RESTORED_DATA_LOST: (
        "Connectivity between IBKR and Trader Workstation has been restored - data lost."
    ),
    LINK_RESTORED: (
        "Connectivity between IBKR and Trader Workstation has been restored - data maintained."
    ),
    MARKET_FARM_BROKEN: "Market data farm connection is broken:usfarm",
    MARKET_FARM_OK: "Market data farm connection is OK:usfarm",
    HISTORY_FARM_BROKEN: "HMDS data farm connection is broken:ushmds",
    HISTORY_FARM_OK: "HMDS data farm connection is OK:ushmds",
    SERVER_LINK_BROKEN: (
        "Connectivity between Trader Workstation and server is broken. "
        "It will be restored automatically."
    ),
    DEFINITIONS_FARM_BROKEN: "Sec-def data farm connection is broken:secdefnj",
    DEFINITIONS_FARM_OK: "Sec-def data farm connection is OK:secdefnj",
}
"""Texts of the notices that are about no request."""

GREETING_NOTICES: Final = (MARKET_FARM_OK, HISTORY_FARM_OK, DEFINITIONS_FARM_OK)

COMPETING_TEXT: Final = "No market data during competing live session"
LIVE_UPDATES_TEXT: Final = "Failed to request live updates (disconnected)."
DEPTH_RESET_TEXT: Final = (
    "Market depth data has been RESET. Please empty deep book contents before applying any new "
    "entries."
)
NO_DEFINITION_TEXT: Final = "No security definition has been found for the request"
IN_USE_TEXT: Final = (
    "Unable to connect as the client id is already in use. Retry with a unique client id."
)
MAX_RATE_TEXT: Final = "Max rate of messages per second has been exceeded"
HISTORY_TEXT: Final = "Historical Market Data Service error message:"
PRICE_TEXT: Final = "The price does not conform to the minimum price variation for this contract."


PERCENT_LIMIT_TEXT: Final = (
    "Price is out of the range defined by the Percentage setting at order defaults frame. "
    "The order will not be transmitted."
)
LOCATE_TEXT: Final = "Order held while securities are located."
READ_ONLY_TEXT: Final = "The API interface is currently in Read-Only mode."
CLOSE_TIF_TEXT: Final = "The Tif option should be set to DAY for MOC and LOC orders."
ZERO_SIZE_TEXT: Final = "The order size cannot be zero."
FRACTIONAL_TEXT: Final = (
    "Fractional-sized order cannot be placed via API. Please use desktop version to place it."
)


def size_limit(limit: object) -> str:
    """Text of error 383."""
    return (
        f"The order size exceeds the Size Limit of {limit}. Restriction is specified in "
        "Precautionary Settings of Global Configuration/Presets."
    )


def below_minimum(size: object, minimum: object) -> str:
    """Text of error 388."""
    return f"Order size {size} is smaller than the minimum required size of {minimum}."


def preset_tif(tif: str) -> str:
    """Text of notice 10349."""
    return f"Order TIF was set to {tif} based on order preset."


def too_many(limit: int) -> str:
    """Text of a rejection for too many living orders."""
    return f"Order rejected - reason:{limit} orders of this contract, side and account are active"


def validation(name: str, cause: str) -> str:
    """Text of error 321."""
    return f"Error validating request.-'{name}' : cause - {cause}"


COMBO_TEXT: Final = "The combo details are invalid."


def combo_leg_invalid(leg: int) -> str:
    """Return the text of 313; legs are counted from 1."""
    return f"The combo details for '{leg}' are invalid."
