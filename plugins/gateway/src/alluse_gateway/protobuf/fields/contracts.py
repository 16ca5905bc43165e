"""Contracts and their details."""

CONTRACTS = {
    "Contract": (
        "conId:int symbol secType lastTradeDateOrContractMonth strike:double right"
        " multiplier:double exchange primaryExch currency localSymbol tradingClass secIdType secId"
        " description issuerId deltaNeutralContract:DeltaNeutralContract includeExpired:bool"
        " comboLegsDescrip comboLegs:ComboLeg* lastTradeDate"
    ),
    "ComboLeg": (
        "conId:int ratio:int action exchange openClose:int shortSalesSlot:int designatedLocation"
        " exemptCode:int perLegPrice:double"
    ),
    "DeltaNeutralContract": "conId:int delta:double price:double",
    "ContractDetails": (
        "marketName minTick orderTypes validExchanges priceMagnifier:int underConId:int longName"
        " contractMonth industry category subcategory timeZoneId tradingHours liquidHours evRule"
        " evMultiplier:double secIdList:map aggGroup:int underSymbol underSecType marketRuleIds"
        " realExpirationDate stockType minSize sizeIncrement suggestedSizeIncrement"
        " fundName fundFamily fundType fundFrontLoad fundBackLoad fundBackLoadTimeInterval"
        " fundManagementFee fundClosed:bool fundClosedForNewInvestors:bool"
        " fundClosedForNewMoney:bool fundNotifyAmount fundMinimumInitialPurchase"
        " fundMinimumSubsequentPurchase fundBlueSkyStates fundBlueSkyTerritories"
        " fundDistributionPolicyIndicator fundAssetType"
        " cusip issueDate ratings bondType coupon:double couponType convertible:bool callable:bool"
        " puttable:bool descAppend nextOptionDate nextOptionType nextOptionPartial:bool bondNotes"
        " ineligibilityReasonList:IneligibilityReason*"
        " eventContract1 eventContractDescription1 eventContractDescription2"
        " minAlgoSize lastPricePrecision lastSizePrecision settlementMethod"
    ),
    "IneligibilityReason": "id description",
    "ContractData": "reqId:int contract:Contract contractDetails:ContractDetails",
    "ContractDataEnd": "reqId:int",
    "ContractDataRequest": "reqId:int contract:Contract",
    "CancelContractData": "reqId:int",
    "ContractDescription": "contract:Contract derivativeSecTypes:string*",
    "SymbolSamples": "reqId:int contractDescriptions:ContractDescription*",
    "MatchingSymbolsRequest": "reqId:int pattern",
    "SecDefOptParamsRequest": (
        "reqId:int underlyingSymbol futFopExchange underlyingSecType underlyingConId:int"
    ),
    "SecDefOptParameter": (
        "reqId:int exchange underlyingConId:int tradingClass multiplier expirations:string*"
        " strikes:double*"
    ),
    "SecDefOptParameterEnd": "reqId:int",
    "MarketRuleRequest": "marketRuleId:int",
    "MarketRule": "marketRuleId:int priceIncrements:PriceIncrement*",
    "PriceIncrement": "lowEdge:double increment:double",
    "SmartComponentsRequest": "reqId:int bboExchange",
    "SmartComponents": "reqId:int smartComponents:SmartComponent*",
    "SmartComponent": "bitNumber:int exchange exchangeLetter",
}
