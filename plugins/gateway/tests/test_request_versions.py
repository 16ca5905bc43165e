"""Every request at every version, as IBKR's own client sends it."""

from __future__ import annotations

import inspect
from typing import Any

import attrs
import order_samples as samples
import pytest
from alluse_gateway import requests as r
from alluse_gateway.decode import UnknownMessage
from ibapi.client import EClient
from ibapi.common import WshEventData
from ibapi.execution import ExecutionFilter
from ibapi.order_cancel import OrderCancel
from ibapi.scanner import ScannerSubscription
from referees import ibapi_sends, read, sample_arguments

VERSIONS = range(157, 201)
ARGUMENTS: dict[str, Any] = {
    "reqId": 7,
    "tickerId": 7,
    "contract": samples.contract("plain"),
    "genericTickList": "233",
    "snapshot": True,
    "regulatorySnapshot": False,
    "mktDataOptions": [],
    "marketDataType": 3,
    "bboExchange": "9c0001",
    "marketRuleId": 26,
    "tickType": "Last",
    "numberOfTicks": 0,
    "ignoreSize": True,
    "optionPrice": 1.5,
    "underPrice": 100.5,
    "implVolOptions": [],
    "volatility": 0.25,
    "optPrcOptions": [],
    "exerciseAction": 1,
    "exerciseQuantity": 2,
    "account": "DU1",
    "override": 1,
    "manualOrderTime": "",
    "customerAccount": "",
    "professionalCustomer": False,
    "bAutoBind": True,
    "numIds": 1,
    "subscribe": True,
    "acctCode": "DU1",
    "groupName": "All",
    "tags": "NetLiquidation,BuyingPower",
    "modelCode": "",
    "ledgerAndNLV": True,
    "conid": 9,
    "numRows": 5,
    "isSmartDepth": True,
    "mktDepthOptions": [],
    "allMsgs": True,
    "faData": 1,
    "cxml": "<x/>",
    "endDateTime": "",
    "durationStr": "1 D",
    "barSizeSetting": "1 min",
    "whatToShow": "TRADES",
    "useRTH": 1,
    "useRth": 1,
    "formatDate": 2,
    "keepUpToDate": True,
    "chartOptions": [],
    "timePeriod": "3 days",
    "startDateTime": "20260105 10:00:00 UTC",
    "miscOptions": [],
    "subscription": None,
    "scannerSubscriptionOptions": [],
    "scannerSubscriptionFilterOptions": [],
    "barSize": 5,
    "realTimeBarsOptions": [],
    "providerCode": "SIM",
    "articleId": "SIM$1-20260105-0",
    "newsArticleOptions": [],
    "conId": 9,
    "providerCodes": "SIM+OTHER",
    "totalResults": 10,
    "historicalNewsOptions": [],
    "groupId": 2,
    "contractInfo": "9@SMART",
    "apiName": "a",
    "apiVersion": "1",
    "apiData": "x",
    "xyzResponse": "y",
    "opaqueIsvKey": "k",
    "underlyingSymbol": "AAPL",
    "futFopExchange": "",
    "underlyingSecType": "STK",
    "underlyingConId": 9,
    "pattern": "AA",
    "apiOnly": True,
    "logLevel": 2,
    "orderId": 7,
    "orderCancel": None,
    "execFilter": None,
    "wshEventData": None,
}
CALLS = [
    name
    for name, method in inspect.getmembers(EClient, inspect.isfunction)
    if name.startswith(("req", "cancel", "calc", "query", "subscribe", "update", "unsubscribe"))
    or name in ("exerciseOptions", "requestFA", "replaceFA", "setServerLogLevel")
    if not name.endswith("ProtoBuf") and name not in ("cancelContractData", "cancelHistoricalTicks")
]
CALLS_SINCE = {
    "reqWshMetaData": 161,
    "cancelWshMetaData": 161,
    "reqWshEventData": 161,
    "cancelWshEventData": 161,
    "reqUserInfo": 167,
    "reqCurrentTimeInMillis": 197,
}


def asked(name: str, version: int) -> list[str]:
    """What IBKR's client sends for a call with sample arguments."""
    given = {**ARGUMENTS, "orderCancel": OrderCancel(), "execFilter": ExecutionFilter()}
    given |= {"subscription": ScannerSubscription(), "wshEventData": WshEventData()}
    if version < 169:
        given["orderCancel"].manualOrderCancelTime = ""
    if name == "reqWshEventData":
        given["wshEventData"].conId = 9
    arguments = sample_arguments(getattr(EClient, name), given)
    return ibapi_sends(version, lambda client: getattr(client, name)(**arguments))


@pytest.mark.parametrize("name", CALLS)
def test_every_request_of_ibapi_is_read_at_every_version(name: str) -> None:
    for version in VERSIONS:
        if version < CALLS_SINCE.get(name, 157):
            continue
        request = read(version, asked(name, version))
        numbered = {"reqId", "tickerId", "orderId", "marketRuleId"} & {
            *inspect.signature(getattr(EClient, name)).parameters
        }
        assert request.request_id in ({7, 26} if numbered else {-1}), (version, request)


@pytest.mark.parametrize("name", CALLS_SINCE)
def test_a_request_is_unknown_below_its_version(name: str) -> None:
    fields = asked(name, 200)
    for version in (CALLS_SINCE[name] - 1, 157):
        with pytest.raises(UnknownMessage):
            read(version, fields)


def test_a_cancel_carries_who_and_when_from_the_version_that_says_so() -> None:
    how = OrderCancel()
    how.manualOrderCancelTime, how.extOperator, how.manualOrderIndicator = "20260105", "op", 1
    for version in VERSIONS:
        cancel = how if version >= 192 else OrderCancel()
        if 169 <= version < 192:
            cancel.manualOrderCancelTime = "20260105"
        fields = ibapi_sends(version, lambda client, c=cancel: client.cancelOrder(7, c))
        wanted = r.CancelOrder(7, "20260105" if version >= 169 else "")
        if version >= 192:
            wanted = attrs.evolve(wanted, operator="op", manual=1)
        assert read(version, fields) == wanted, version
        everything = OrderCancel()
        if version >= 192:
            everything.extOperator = "op"
        fields = ibapi_sends(version, lambda client, c=everything: client.reqGlobalCancel(c))
        assert read(version, fields) == r.GlobalCancel(-1, "op" if version >= 192 else "")


def test_executions_are_asked_by_day_from_version_200() -> None:
    wanted = ExecutionFilter()
    wanted.clientId, wanted.symbol, wanted.side = 3, "AAPL", "BUY"
    plain = r.Executions(7, 3, "", "", "AAPL", "", "", "BUY")
    for version in range(157, 200):
        fields = ibapi_sends(version, lambda client: client.reqExecutions(7, wanted))
        assert read(version, fields) == plain
    wanted.lastNDays, wanted.specificDates = 2, [20260105, 20260106]
    fields = ibapi_sends(200, lambda client: client.reqExecutions(7, wanted))
    dated = attrs.evolve(plain, days=2, dates=("20260105", "20260106"))
    assert read(200, fields) == dated
    assert read(200, [fields[0], *fields[2:]]) == dated, "without the message's own version"
