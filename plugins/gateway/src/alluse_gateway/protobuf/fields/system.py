"""The session itself: start, ids, time, errors, display groups."""

SYSTEM = {
    "StartApiRequest": "clientId:int optionalCapabilities",
    "IdsRequest": "numIds:int",
    "NextValidId": "orderId:int",
    "CurrentTimeRequest": "",
    "CurrentTime": "currentTime:long",
    "CurrentTimeInMillisRequest": "",
    "CurrentTimeInMillis": "currentTimeInMillis:long",
    "SetServerLogLevelRequest": "logLevel:int",
    "ErrorMessage": "id:int errorTime:long errorCode:int errorMsg advancedOrderRejectJson",
    "VerifyRequest": "apiName apiVersion",
    "VerifyMessageRequest": "apiData",
    "VerifyMessageApi": "apiData",
    "VerifyCompleted": "isSuccessful:bool errorText",
    "QueryDisplayGroupsRequest": "reqId:int",
    "DisplayGroupList": "reqId:int groups",
    "SubscribeToGroupEventsRequest": "reqId:int groupId:int",
    "UnsubscribeFromGroupEventsRequest": "reqId:int",
    "UpdateDisplayGroupRequest": "reqId:int contractInfo",
    "DisplayGroupUpdated": "reqId:int contractInfo",
}
