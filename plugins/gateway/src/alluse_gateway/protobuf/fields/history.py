"""Historical bars, ticks and schedules, real-time bars, histograms, head time stamps."""

HISTORY = {
    "HistoricalDataRequest": (
        "reqId:int contract:Contract endDateTime barSizeSetting duration useRTH:bool whatToShow"
        " formatDate:int keepUpToDate:bool chartOptions:map"
    ),
    "CancelHistoricalData": "reqId:int",
    "HistoricalData": "reqId:int historicalDataBars:HistoricalDataBar*",
    "HistoricalDataBar": (
        "date open:double high:double low:double close:double volume WAP barCount:int"
    ),
    "HistoricalDataEnd": "reqId:int startDateStr endDateStr",
    "HistoricalDataUpdate": "reqId:int historicalDataBar:HistoricalDataBar",
    "HistoricalSchedule": (
        "reqId:int startDateTime endDateTime timeZone historicalSessions:HistoricalSession*"
    ),
    "HistoricalSession": "startDateTime endDateTime refDate",
    "RealTimeBarsRequest": (
        "reqId:int contract:Contract barSize:int whatToShow useRTH:bool realTimeBarsOptions:map"
    ),
    "CancelRealTimeBars": "reqId:int",
    "RealTimeBarTick": (
        "reqId:int time:long open:double high:double low:double close:double volume WAP count:int"
    ),
    "HeadTimestampRequest": ("reqId:int contract:Contract useRTH:bool whatToShow formatDate:int"),
    "CancelHeadTimestamp": "reqId:int",
    "HeadTimestamp": "reqId:int headTimestamp",
    "HistogramDataRequest": "reqId:int contract:Contract useRTH:bool timePeriod",
    "CancelHistogramData": "reqId:int",
    "HistogramData": "reqId:int histogramDataEntries:HistogramDataEntry*",
    "HistogramDataEntry": "price:double size",
    "HistoricalTicksRequest": (
        "reqId:int contract:Contract startDateTime endDateTime numberOfTicks:int whatToShow"
        " useRTH:bool ignoreSize:bool miscOptions:map"
    ),
    "CancelHistoricalTicks": "reqId:int",
    "HistoricalTicks": "reqId:int historicalTicks:HistoricalTick* isDone:bool",
    "HistoricalTicksBidAsk": "reqId:int historicalTicksBidAsk:HistoricalTickBidAsk* isDone:bool",
    "HistoricalTicksLast": "reqId:int historicalTicksLast:HistoricalTickLast* isDone:bool",
    "HistoricalTick": "time:long price:double size",
    "HistoricalTickBidAsk": (
        "time:long tickAttribBidAsk:TickAttribBidAsk priceBid:double priceAsk:double sizeBid"
        " sizeAsk"
    ),
    "HistoricalTickLast": (
        "time:long tickAttribLast:TickAttribLast price:double size exchange specialConditions"
    ),
    "TickAttribBidAsk": "bidPastLow:bool askPastHigh:bool",
    "TickAttribLast": "pastLimit:bool unreported:bool",
}
