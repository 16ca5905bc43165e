"""Account values, positions, profit and loss, family codes and user."""

ACCOUNTS = {
    "ManagedAccountsRequest": "",
    "ManagedAccounts": "accountsList",
    "AccountDataRequest": "subscribe:bool acctCode",
    "AccountValue": "key value currency accountName",
    "AccountUpdateTime": "timeStamp",
    "AccountDataEnd": "accountName",
    "PortfolioValue": (
        "contract:Contract position marketPrice:double marketValue:double averageCost:double"
        " unrealizedPNL:double realizedPNL:double accountName"
    ),
    "AccountSummaryRequest": "reqId:int group tags",
    "CancelAccountSummary": "reqId:int",
    "AccountSummary": "reqId:int account tag value currency",
    "AccountSummaryEnd": "reqId:int",
    "AccountUpdatesMultiRequest": "reqId:int account modelCode ledgerAndNLV:bool",
    "CancelAccountUpdatesMulti": "reqId:int",
    "AccountUpdateMulti": "reqId:int account modelCode key value currency",
    "AccountUpdateMultiEnd": "reqId:int",
    "PositionsRequest": "",
    "CancelPositions": "",
    "Position": "account contract:Contract position avgCost:double",
    "PositionEnd": "",
    "PositionsMultiRequest": "reqId:int account modelCode",
    "CancelPositionsMulti": "reqId:int",
    "PositionMulti": "reqId:int account contract:Contract position avgCost:double modelCode",
    "PositionMultiEnd": "reqId:int",
    "PnLRequest": "reqId:int account modelCode",
    "CancelPnL": "reqId:int",
    "PnL": "reqId:int dailyPnL:double unrealizedPnL:double realizedPnL:double",
    "PnLSingleRequest": "reqId:int account modelCode conId:int",
    "CancelPnLSingle": "reqId:int",
    "PnLSingle": (
        "reqId:int position dailyPnL:double unrealizedPnL:double realizedPnL:double value:double"
    ),
    "FamilyCodesRequest": "",
    "FamilyCodes": "familyCodes:FamilyCode*",
    "FamilyCode": "accountId familyCode",
    "SoftDollarTiersRequest": "reqId:int",
    "SoftDollarTiers": "reqId:int softDollarTiers:SoftDollarTier*",
    "UserInfoRequest": "reqId:int",
    "UserInfo": "reqId:int whiteBrandingId",
    "FARequest": "faDataType:int",
    "FAReplace": "reqId:int faDataType:int xml",
    "ReceiveFA": "faDataType:int xml",
    "ReplaceFAEnd": "reqId:int text",
}
