"""Ticks, depth, tick by tick, and option computations."""

MARKET_DATA = {
    "MarketDataRequest": (
        "reqId:int contract:Contract genericTickList snapshot:bool regulatorySnapshot:bool"
        " marketDataOptions:map"
    ),
    "CancelMarketData": "reqId:int",
    "MarketDataTypeRequest": "marketDataType:int",
    "MarketDataType": "reqId:int marketDataType:int",
    "TickPrice": "reqId:int tickType:int price:double size attrMask:int",
    "TickSize": "reqId:int tickType:int size",
    "TickGeneric": "reqId:int tickType:int value:double",
    "TickString": "reqId:int tickType:int value",
    "TickSnapshotEnd": "reqId:int",
    "TickReqParams": (
        "reqId:int minTick bboExchange snapshotPermissions:int lastPricePrecision lastSizePrecision"
    ),
    "TickOptionComputation": (
        "reqId:int tickType:int tickAttrib:int impliedVol:double delta:double optPrice:double"
        " pvDividend:double gamma:double vega:double theta:double undPrice:double"
    ),
    "RerouteMarketDataRequest": "reqId:int conId:int exchange",
    "RerouteMarketDepthRequest": "reqId:int conId:int exchange",
    "MarketDepthRequest": (
        "reqId:int contract:Contract numRows:int isSmartDepth:bool marketDepthOptions:map"
    ),
    "CancelMarketDepth": "reqId:int isSmartDepth:bool",
    "MarketDepth": "reqId:int marketDepthData:MarketDepthData",
    "MarketDepthL2": "reqId:int marketDepthData:MarketDepthData",
    "MarketDepthData": (
        "position:int operation:int side:int price:double size marketMaker isSmartDepth:bool"
    ),
    "MarketDepthExchangesRequest": "",
    "MarketDepthExchanges": "depthMarketDataDescriptions:DepthMarketDataDescription*",
    "DepthMarketDataDescription": "exchange secType listingExch serviceDataType aggGroup:int",
    "TickByTickRequest": ("reqId:int contract:Contract tickType numberOfTicks:int ignoreSize:bool"),
    "CancelTickByTick": "reqId:int",
    "TickByTickData": (
        "reqId:int tickType:int historicalTickLast:HistoricalTickLast"
        " historicalTickBidAsk:HistoricalTickBidAsk historicalTickMidPoint:HistoricalTick"
    ),
    "CalculateImpliedVolatilityRequest": (
        "reqId:int contract:Contract optionPrice:double underPrice:double"
        " impliedVolatilityOptions:map"
    ),
    "CancelCalculateImpliedVolatility": "reqId:int",
    "CalculateOptionPriceRequest": (
        "reqId:int contract:Contract volatility:double underPrice:double optionPriceOptions:map"
    ),
    "CancelCalculateOptionPrice": "reqId:int",
}
