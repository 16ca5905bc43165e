"""News, corporate events and market scanners."""

REFERENCE = {
    "NewsBulletinsRequest": "allMessages:bool",
    "CancelNewsBulletins": "",
    "NewsBulletin": "newsMsgId:int newsMsgType:int newsMessage originatingExch",
    "NewsProvidersRequest": "",
    "NewsProviders": "newsProviders:NewsProvider*",
    "NewsProvider": "providerCode providerName",
    "NewsArticleRequest": "reqId:int providerCode articleId newsArticleOptions:map",
    "NewsArticle": "reqId:int articleType:int articleText",
    "HistoricalNewsRequest": (
        "reqId:int conId:int providerCodes startDateTime endDateTime totalResults:int"
        " historicalNewsOptions:map"
    ),
    "HistoricalNews": "reqId:int time providerCode articleId headline",
    "HistoricalNewsEnd": "reqId:int hasMore:bool",
    "TickNews": "reqId:int timestamp:long providerCode articleId headline extraData",
    "WshMetaDataRequest": "reqId:int",
    "CancelWshMetaData": "reqId:int",
    "WshMetaData": "reqId:int dataJson",
    "WshEventDataRequest": (
        "reqId:int conId:int filter fillWatchlist:bool fillPortfolio:bool fillCompetitors:bool"
        " startDate endDate totalLimit:int"
    ),
    "CancelWshEventData": "reqId:int",
    "WshEventData": "reqId:int dataJson",
    "ScannerParametersRequest": "",
    "ScannerParameters": "xml",
    "ScannerSubscriptionRequest": "reqId:int scannerSubscription:ScannerSubscription",
    "CancelScannerSubscription": "reqId:int",
    "ScannerSubscription": (
        "numberOfRows:int instrument locationCode scanCode abovePrice:double belowPrice:double"
        " aboveVolume:long marketCapAbove:double marketCapBelow:double moodyRatingAbove"
        " moodyRatingBelow spRatingAbove spRatingBelow maturityDateAbove maturityDateBelow"
        " couponRateAbove:double couponRateBelow:double excludeConvertible:bool"
        " averageOptionVolumeAbove:long scannerSettingPairs stockTypeFilter"
        " scannerSubscriptionFilterOptions:map scannerSubscriptionOptions:map"
    ),
    "ScannerData": "reqId:int scannerDataElement:ScannerDataElement*",
    "ScannerDataElement": (
        "rank:int contract:Contract marketName distance benchmark projection comboKey"
    ),
}
