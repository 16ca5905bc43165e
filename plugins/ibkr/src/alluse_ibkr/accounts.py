"""Account names, and the figures that are asked for."""

from __future__ import annotations

from alluse_core.model import AccountMode

SUMMARY_TAGS = (
    "NetLiquidation,TotalCashValue,SettledCash,AccruedCash,BuyingPower,EquityWithLoanValue,"
    "PreviousEquityWithLoanValue,GrossPositionValue,RegTEquity,RegTMargin,SMA,InitMarginReq,"
    "MaintMarginReq,AvailableFunds,ExcessLiquidity,Cushion,FullInitMarginReq,FullMaintMarginReq,"
    "FullAvailableFunds,FullExcessLiquidity,LookAheadInitMarginReq,LookAheadMaintMarginReq,"
    "LookAheadAvailableFunds,LookAheadExcessLiquidity,DayTradesRemaining,Leverage"
)


def account_mode(account: str) -> AccountMode:
    """Judge by the name: paper accounts begin with D (DU, DF, DI), live ones with U, F or I."""
    if account.startswith("D"):
        return AccountMode.PAPER
    if account[:1] in ("U", "F", "I"):
        return AccountMode.LIVE
    return AccountMode.UNKNOWN
