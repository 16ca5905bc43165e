"""Every answer: from which version it is protobuf, its message, and its text as a row.

Rows are the text of version 200 without the message id. The versions are those at which IBKR moved
the families of requests; an answer moves with the request that asks for it. Ticks of exchange for
physical (47), the delta-neutral validation (56) and the authentication messages (69, 70) have no
protobuf form and stay text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import attrs
from google.protobuf.message import Message

from alluse_gateway.protobuf import order_replies, tick_replies
from alluse_gateway.protobuf.layout import Step, layout
from alluse_gateway.protobuf.order_replies import TRADED
from alluse_gateway.protobuf.schema import schema


@attrs.frozen
class Reply:
    """How one kind of answer is read from its text into its message."""

    since: int
    message: Callable[[], Message]
    step: Step


_BAR = "date open high low close volume WAP barCount"
_HELD = TRADED.replace(" exchange ", " primaryExch ")

_CONTRACT_DATA = (
    "reqId contract(symbol secType lastTradeDateOrContractMonth lastTradeDate strike right"
    " exchange currency localSymbol) contractDetails(marketName) contract(tradingClass conId)"
    " contractDetails(minTick) contract(multiplier) contractDetails(orderTypes validExchanges"
    " priceMagnifier underConId longName~) contract(primaryExch) contractDetails(contractMonth"
    " industry category subcategory timeZoneId tradingHours liquidHours evRule evMultiplier"
    " secIdList{} aggGroup underSymbol underSecType marketRuleIds realExpirationDate stockType"
    " minSize sizeIncrement suggestedSizeIncrement) @fund"
    " contractDetails(ineligibilityReasonList*(id description))"
)
_FUND = (
    "fundName fundFamily fundType fundFrontLoad fundBackLoad fundBackLoadTimeInterval"
    " fundManagementFee fundClosed fundClosedForNewInvestors fundClosedForNewMoney"
    " fundNotifyAmount fundMinimumInitialPurchase fundMinimumSubsequentPurchase fundBlueSkyStates"
    " fundBlueSkyTerritories fundDistributionPolicyIndicator fundAssetType"
)
_BOND_DATA = (
    "reqId contract(symbol secType) contractDetails(cusip coupon)"
    " contract(lastTradeDateOrContractMonth) contractDetails(issueDate ratings bondType couponType"
    " convertible callable puttable descAppend) contract(exchange currency)"
    " contractDetails(marketName) contract(tradingClass conId) contractDetails(minTick orderTypes"
    " validExchanges nextOptionDate nextOptionType nextOptionPartial bondNotes longName~ timeZoneId"
    " tradingHours liquidHours evRule evMultiplier secIdList{} aggGroup marketRuleIds minSize"
    " sizeIncrement suggestedSizeIncrement)"
)

ROWS: dict[int, tuple[int, str, str]] = {
    # id: (since, message, row)
    11: (201, "ExecutionDetails", order_replies.EXECUTION),
    55: (201, "ExecutionDetailsEnd", "_ reqId"),
    3: (
        203,
        "OrderStatus",
        "orderId status filled remaining avgFillPrice permId parentId lastFillPrice clientId"
        " whyHeld mktCapPrice",
    ),
    4: (203, "ErrorMessage", "id errorCode errorMsg~ advancedOrderRejectJson~ errorTime"),
    5: (203, "OpenOrder", order_replies.OPEN_ORDER),
    53: (204, "OpenOrdersEnd", "_"),
    100: (204, "OrderBound", "permId clientId orderId"),
    101: (204, "CompletedOrder", order_replies.COMPLETED_ORDER),
    102: (204, "CompletedOrdersEnd", ""),
    10: (205, "ContractData", _CONTRACT_DATA),
    18: (205, "ContractData", _BOND_DATA),
    52: (205, "ContractDataEnd", "_ reqId"),
    1: (206, "TickPrice", "_ reqId tickType price size attrMask"),
    2: (206, "TickSize", "_ reqId tickType size"),
    12: (
        206,
        "MarketDepth",
        "_ reqId marketDepthData(position operation side price size)",
    ),
    13: (
        206,
        "MarketDepthL2",
        "_ reqId marketDepthData(position marketMaker operation side price size isSmartDepth)",
    ),
    21: (206, "TickOptionComputation", "reqId tickType tickAttrib @computed"),
    45: (206, "TickGeneric", "_ reqId tickType value"),
    46: (206, "TickString", "_ reqId tickType value"),
    57: (206, "TickSnapshotEnd", "_ reqId"),
    58: (206, "MarketDataType", "_ reqId marketDataType"),
    81: (206, "TickReqParams", "reqId minTick bboExchange snapshotPermissions"),
    6: (207, "AccountValue", "_ key value currency accountName"),
    7: (
        207,
        "PortfolioValue",
        f"_ contract({_HELD}) position marketPrice marketValue averageCost unrealizedPNL"
        " realizedPNL accountName",
    ),
    8: (207, "AccountUpdateTime", "_ timeStamp"),
    54: (207, "AccountDataEnd", "_ accountName"),
    15: (207, "ManagedAccounts", "_ accountsList"),
    61: (207, "Position", f"_ account contract({TRADED}) position avgCost"),
    62: (207, "PositionEnd", "_"),
    63: (207, "AccountSummary", "_ reqId account tag value currency"),
    64: (207, "AccountSummaryEnd", "_ reqId"),
    71: (207, "PositionMulti", f"_ reqId account contract({TRADED}) position avgCost modelCode"),
    72: (207, "PositionMultiEnd", "_ reqId"),
    73: (207, "AccountUpdateMulti", "_ reqId account modelCode key value currency"),
    74: (207, "AccountUpdateMultiEnd", "_ reqId"),
    17: (208, "HistoricalData", f"reqId historicalDataBars*({_BAR})"),
    50: (208, "RealTimeBarTick", "_ reqId time open high low close volume WAP count"),
    88: (208, "HeadTimestamp", "reqId headTimestamp"),
    89: (208, "HistogramData", "reqId histogramDataEntries*(price size)"),
    90: (
        208,
        "HistoricalDataUpdate",
        "reqId historicalDataBar(barCount date open close high low WAP volume)",
    ),
    96: (208, "HistoricalTicks", "reqId historicalTicks*(time _ price size) isDone"),
    97: (
        208,
        "HistoricalTicksBidAsk",
        "reqId historicalTicksBidAsk*(time @past_quote priceBid priceAsk sizeBid sizeAsk) isDone",
    ),
    98: (
        208,
        "HistoricalTicksLast",
        "reqId historicalTicksLast*(time @past_last price size exchange specialConditions) isDone",
    ),
    99: (208, "TickByTickData", "reqId tickType @tick"),
    108: (208, "HistoricalDataEnd", "reqId startDateStr endDateStr"),
    14: (209, "NewsBulletin", "_ newsMsgId newsMsgType newsMessage~ originatingExch"),
    83: (209, "NewsArticle", "reqId articleType articleText~"),
    84: (209, "TickNews", "reqId timestamp providerCode articleId headline~ extraData"),
    85: (209, "NewsProviders", "newsProviders*(providerCode providerName)"),
    86: (209, "HistoricalNews", "reqId time providerCode articleId headline~"),
    87: (209, "HistoricalNewsEnd", "reqId hasMore"),
    104: (209, "WshMetaData", "reqId dataJson"),
    105: (209, "WshEventData", "reqId dataJson"),
    19: (210, "ScannerParameters", "_ xml"),
    20: (
        210,
        "ScannerData",
        "_ reqId scannerDataElement*(rank contract(conId symbol secType"
        " lastTradeDateOrContractMonth strike right exchange currency localSymbol) marketName"
        " contract(tradingClass) distance benchmark projection comboKey)",
    ),
    94: (210, "PnL", "reqId dailyPnL unrealizedPnL realizedPnL"),
    95: (210, "PnLSingle", "reqId position dailyPnL unrealizedPnL realizedPnL value"),
    16: (211, "ReceiveFA", "_ faDataType xml~"),
    59: (
        211,
        "CommissionAndFeesReport",
        "_ execId commissionAndFees currency realizedPNL bondYield yieldRedemptionDate",
    ),
    91: (211, "RerouteMarketDataRequest", "reqId conId exchange"),
    92: (211, "RerouteMarketDepthRequest", "reqId conId exchange"),
    103: (211, "ReplaceFAEnd", "reqId text"),
    106: (
        211,
        "HistoricalSchedule",
        "reqId startDateTime endDateTime timeZone"
        " historicalSessions*(startDateTime endDateTime refDate)",
    ),
    75: (
        212,
        "SecDefOptParameter",
        "reqId exchange underlyingConId tradingClass multiplier expirations* strikes*",
    ),
    76: (212, "SecDefOptParameterEnd", "reqId"),
    77: (212, "SoftDollarTiers", "reqId softDollarTiers*(name value displayName)"),
    78: (212, "FamilyCodes", "familyCodes*(accountId familyCode)"),
    79: (
        212,
        "SymbolSamples",
        "reqId contractDescriptions*(contract(conId symbol secType primaryExch currency)"
        " derivativeSecTypes* contract(description~ issuerId))",
    ),
    82: (212, "SmartComponents", "reqId smartComponents*(bitNumber exchange exchangeLetter)"),
    93: (212, "MarketRule", "marketRuleId priceIncrements*(lowEdge increment)"),
    107: (212, "UserInfo", "reqId whiteBrandingId"),
    9: (213, "NextValidId", "_ orderId"),
    49: (213, "CurrentTime", "_ currentTime"),
    65: (213, "VerifyMessageApi", "_ apiData"),
    66: (213, "VerifyCompleted", "_ isSuccessful errorText"),
    67: (213, "DisplayGroupList", "_ reqId groups"),
    68: (213, "DisplayGroupUpdated", "_ reqId contractInfo~"),
    80: (
        213,
        "MarketDepthExchanges",
        "depthMarketDataDescriptions*(exchange secType listingExch serviceDataType aggGroup)",
    ),
    109: (213, "CurrentTimeInMillis", "currentTimeInMillis"),
}
"""Answers by message id."""


@cache
def replies() -> Mapping[int, Reply]:
    """Return how each answer is read; made once."""
    fund = layout("ContractDetails", _FUND)

    def of_a_fund(fields: Any, data: Any) -> None:
        if data.contract.secType == "FUND":
            fund(fields, data.contractDetails)

    steps = {"fund": of_a_fund, **order_replies.steps(), **tick_replies.steps()}
    classes = schema().classes
    return {
        kind: Reply(since, classes[name], layout(name, row, steps))
        for kind, (since, name, row) in ROWS.items()
    }
