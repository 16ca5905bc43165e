"""Orders, what becomes of them, and their executions."""

ORDERS = {
    "Order": (
        "clientId:int orderId:int permId:long parentId:int action totalQuantity displaySize:int"
        " orderType lmtPrice:double auxPrice:double tif account settlingFirm clearingAccount"
        " clearingIntent allOrNone:bool blockOrder:bool hidden:bool outsideRth:bool"
        " sweepToFill:bool percentOffset:double trailingPercent:double trailStopPrice:double"
        " minQty:int goodAfterTime goodTillDate ocaGroup orderRef rule80A ocaType:int"
        " triggerMethod:int activeStartTime activeStopTime faGroup faMethod faPercentage"
        " volatility:double volatilityType:int continuousUpdate:bool referencePriceType:int"
        " deltaNeutralOrderType deltaNeutralAuxPrice:double deltaNeutralConId:int"
        " deltaNeutralOpenClose deltaNeutralShortSale:bool deltaNeutralShortSaleSlot:int"
        " deltaNeutralDesignatedLocation"
        " scaleInitLevelSize:int scaleSubsLevelSize:int scalePriceIncrement:double"
        " scalePriceAdjustValue:double scalePriceAdjustInterval:int scaleProfitOffset:double"
        " scaleAutoReset:bool scaleInitPosition:int scaleInitFillQty:int scaleRandomPercent:bool"
        " scaleTable hedgeType hedgeParam algoStrategy algoParams:map algoId"
        " smartComboRoutingParams:map whatIf:bool transmit:bool overridePercentageConstraints:bool"
        " openClose origin:int shortSaleSlot:int designatedLocation exemptCode:int"
        " deltaNeutralSettlingFirm deltaNeutralClearingAccount deltaNeutralClearingIntent"
        " discretionaryAmt:double optOutSmartRouting:bool startingPrice:double"
        " stockRefPrice:double delta:double stockRangeLower:double stockRangeUpper:double"
        " notHeld:bool orderMiscOptions:map solicited:bool randomizeSize:bool randomizePrice:bool"
        " referenceContractId:int peggedChangeAmount:double isPeggedChangeAmountDecrease:bool"
        " referenceChangeAmount:double referenceExchangeId"
        " adjustedOrderType triggerPrice:double adjustedStopPrice:double"
        " adjustedStopLimitPrice:double adjustedTrailingAmount:double adjustableTrailingUnit:int"
        " lmtPriceOffset:double conditions:OrderCondition* conditionsCancelOrder:bool"
        " conditionsIgnoreRth:bool modelCode extOperator softDollarTier:SoftDollarTier"
        " cashQty:double mifid2DecisionMaker mifid2DecisionAlgo mifid2ExecutionTrader"
        " mifid2ExecutionAlgo dontUseAutoPriceForHedge:bool isOmsContainer:bool"
        " discretionaryUpToLimitPrice:bool autoCancelDate filledQuantity refFuturesConId:int"
        " autoCancelParent:bool shareholder imbalanceOnly:bool routeMarketableToBbo:int"
        " parentPermId:long usePriceMgmtAlgo:int duration:int postToAts:int advancedErrorOverride"
        " manualOrderTime minTradeQty:int minCompeteSize:int competeAgainstBestOffset:double"
        " midOffsetAtWhole:double midOffsetAtHalf:double customerAccount"
        " professionalCustomer:bool bondAccruedInterest includeOvernight:bool"
        " manualOrderIndicator:int submitter deactivate:bool postOnly:bool allowPreOpen:bool"
        " ignoreOpenAuction:bool seekPriceImprovement:int whatIfType:int hedgeMaxSize:int"
        " conditionsIncludeOvernight:bool"
    ),
    "OrderCondition": (
        "type:int isConjunctionConnection:bool isMore:bool conId:int exchange symbol secType"
        " percent:int changePercent:double price:double triggerMethod:int time volume:int"
    ),
    "SoftDollarTier": "name value displayName",
    "AttachedOrders": "slOrderId:int slOrderType ptOrderId:int ptOrderType",
    "PlaceOrderRequest": (
        "orderId:int contract:Contract order:Order attachedOrders:AttachedOrders"
    ),
    "OrderCancel": "manualOrderCancelTime extOperator manualOrderIndicator:int",
    "CancelOrderRequest": "orderId:int orderCancel:OrderCancel",
    "GlobalCancelRequest": "orderCancel:OrderCancel",
    "OpenOrdersRequest": "",
    "AllOpenOrdersRequest": "",
    "AutoOpenOrdersRequest": "autoBind:bool",
    "CompletedOrdersRequest": "apiOnly:bool",
    "OrderState": (
        "status initMarginBefore:double maintMarginBefore:double equityWithLoanBefore:double"
        " initMarginChange:double maintMarginChange:double equityWithLoanChange:double"
        " initMarginAfter:double maintMarginAfter:double equityWithLoanAfter:double"
        " commissionAndFees:double minCommissionAndFees:double maxCommissionAndFees:double"
        " commissionAndFeesCurrency marginCurrency initMarginBeforeOutsideRTH:double"
        " maintMarginBeforeOutsideRTH:double equityWithLoanBeforeOutsideRTH:double"
        " initMarginChangeOutsideRTH:double maintMarginChangeOutsideRTH:double"
        " equityWithLoanChangeOutsideRTH:double initMarginAfterOutsideRTH:double"
        " maintMarginAfterOutsideRTH:double equityWithLoanAfterOutsideRTH:double suggestedSize"
        " rejectReason orderAllocations:OrderAllocation* warningText completedTime completedStatus"
    ),
    "OrderAllocation": (
        "account position positionDesired positionAfter desiredAllocQty allowedAllocQty"
        " isMonetary:bool"
    ),
    "OpenOrder": "orderId:int contract:Contract order:Order orderState:OrderState",
    "OpenOrdersEnd": "",
    "OrderStatus": (
        "orderId:int status filled remaining avgFillPrice:double permId:long parentId:int"
        " lastFillPrice:double clientId:int whyHeld mktCapPrice:double"
    ),
    "OrderBound": "permId:long clientId:int orderId:int",
    "CompletedOrder": "contract:Contract order:Order orderState:OrderState",
    "CompletedOrdersEnd": "",
    "ExecutionRequest": "reqId:int executionFilter:ExecutionFilter",
    "ExecutionFilter": (
        "clientId:int acctCode time symbol secType exchange side lastNDays:int specificDates:int*"
    ),
    "Execution": (
        "orderId:int execId time acctNumber exchange side shares price:double permId:long"
        " clientId:int isLiquidation:bool cumQty avgPrice:double orderRef evRule"
        " evMultiplier:double modelCode lastLiquidity:int isPriceRevisionPending:bool submitter"
        " optExerciseOrLapseType:int"
    ),
    "ExecutionDetails": "reqId:int contract:Contract execution:Execution",
    "ExecutionDetailsEnd": "reqId:int",
    "CommissionAndFeesReport": (
        "execId commissionAndFees:double currency realizedPNL:double bondYield:double"
        " yieldRedemptionDate"
    ),
    "ExerciseOptionsRequest": (
        "orderId:int contract:Contract exerciseAction:int exerciseQuantity:int account"
        " override:bool manualOrderTime customerAccount professionalCustomer:bool"
    ),
}
