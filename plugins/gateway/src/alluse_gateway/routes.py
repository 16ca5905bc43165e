"""Which desk answers which request."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway import requests_reference as q
from alluse_gateway.answers import system
from alluse_gateway.session import Session

if TYPE_CHECKING:
    from alluse_gateway.server import SimulatedGateway


def routes(gateway: SimulatedGateway) -> dict[type[r.Request], Callable[[Session, Any], None]]:
    """Return what answers each kind of request."""
    return {
        r.PlaceOrder: gateway.orders.place,
        r.CancelOrder: gateway.orders.cancel,
        r.GlobalCancel: gateway.orders.cancel_all,
        r.ExerciseOptions: gateway.exercises.exercise,
        r.OpenOrders: gateway.questions.open_orders,
        r.AutoOpenOrders: gateway.questions.auto_open_orders,
        r.CompletedOrders: gateway.questions.completed,
        r.Executions: gateway.questions.executions,
        r.NextIds: partial(_next_ids, gateway),
        r.ManagedAccounts: partial(_managed_accounts, gateway),
        r.CurrentTime: partial(_current_time, gateway),
        r.ServerLogLevel: _accepted,
        r.ContractDetails: gateway.contracts.details,
        r.MatchingSymbols: gateway.contracts.symbols,
        r.MarketRule: gateway.contracts.market_rule,
        r.OptionParameters: gateway.contracts.option_parameters,
        r.MarketData: gateway.market_data.subscribe,
        r.CancelMarketData: gateway.market_data.cancel,
        r.MarketDataType: gateway.market_data.set_type,
        r.TickByTick: gateway.tick_by_tick.subscribe,
        r.MarketDepth: gateway.depth.subscribe,
        r.CancelMarketDepth: gateway.depth.cancel,
        r.CalculateOption: gateway.calculations.calculate,
        r.CancelCalculation: gateway.calculations.cancel,
        r.CancelTickByTick: partial(_cancel_tick_by_tick, gateway),
        r.HistoricalData: gateway.history.bars,
        r.HeadTimestamp: gateway.history.head,
        r.RealTimeBars: gateway.history.real_time,
        r.CancelHistory: gateway.history.cancel,
        r.HistoricalTicks: gateway.historical_ticks.ticks,
        r.Histogram: gateway.historical_ticks.histogram,
        r.AccountUpdates: gateway.accounts.updates,
        r.AccountUpdatesMulti: gateway.accounts.updates_multi,
        r.AccountSummary: gateway.accounts.summary,
        r.Positions: gateway.accounts.positions,
        r.PositionsMulti: gateway.accounts.positions_multi,
        r.ProfitAndLoss: gateway.accounts.profit,
        r.ProfitAndLossSingle: gateway.accounts.profit_single,
        r.CancelAccount: gateway.accounts.cancel,
        r.CancelAnswered: _accepted,
        r.Unsupported: _unsupported,
        **_reference_routes(gateway),
    }


def _reference_routes(
    gateway: SimulatedGateway,
) -> dict[type[r.Request], Callable[[Session, Any], None]]:
    tables, news, groups = gateway.reference, gateway.news, gateway.display_groups
    return {
        q.RequestFA: tables.advisor_table,
        q.ReplaceFA: tables.replace_advisor_table,
        q.SoftDollarTiers: tables.soft_dollar_tiers,
        q.FamilyCodes: tables.family_codes,
        q.DepthExchanges: tables.depth_exchanges,
        q.SmartComponents: tables.smart_components,
        q.UserInfo: tables.user_info,
        q.WallStreetHorizon: tables.wall_street_horizon,
        q.Verify: tables.verify,
        q.NewsBulletins: news.subscribe,
        q.CancelNewsBulletins: news.unsubscribe,
        q.NewsProviders: news.providers,
        q.NewsArticle: news.article,
        q.HistoricalNews: news.headlines,
        q.ScannerParameters: gateway.scanner.parameters,
        q.ScannerSubscription: gateway.scanner.subscribe,
        q.CancelScanner: gateway.scanner.cancel,
        q.DisplayGroups: groups.groups,
        q.SubscribeGroup: groups.subscribe,
        q.UpdateGroup: groups.update,
        q.UnsubscribeGroup: groups.unsubscribe,
    }


NEEDS_LINK = frozenset(
    {
        r.PlaceOrder,
        r.CancelOrder,
        r.GlobalCancel,
        r.ExerciseOptions,
        r.ContractDetails,
        r.MatchingSymbols,
        r.MarketData,
        r.TickByTick,
        r.HistoricalData,
        r.HeadTimestamp,
        r.RealTimeBars,
        r.HistoricalTicks,
        r.Histogram,
        r.MarketDepth,
        r.CalculateOption,
        r.Positions,
        r.PositionsMulti,
        r.AccountUpdates,
        r.AccountUpdatesMulti,
        r.AccountSummary,
        r.ProfitAndLoss,
        r.ProfitAndLossSingle,
    }
)
"""Requests that wait while the link to IBKR's servers is lost."""


def _accepted(session: Session, request: r.Request) -> None:
    """A request that has no answer."""


def _unsupported(session: Session, request: r.Unsupported) -> None:
    name = request.name
    cause = f"{name} is not part of this simulated gateway"
    session.error(request.request_id, notices.VALIDATION, notices.validation(name, cause))


def _next_ids(gateway: SimulatedGateway, session: Session, request: r.NextIds) -> None:
    session.send(system.next_valid_id(gateway.orders.book.next_id(session.client_id)))


def _managed_accounts(
    gateway: SimulatedGateway, session: Session, request: r.ManagedAccounts
) -> None:
    session.send(system.managed_accounts(gateway.account_names))


def _cancel_tick_by_tick(
    gateway: SimulatedGateway, session: Session, request: r.CancelTickByTick
) -> None:
    gateway.tick_by_tick.cancel(session, request.request_id)


def _current_time(gateway: SimulatedGateway, session: Session, request: r.CurrentTime) -> None:
    now = gateway.faults.told(gateway.clock.now()).timestamp()
    if request.millis:
        session.send(system.current_time_millis(int(now * 1000)))
    else:
        session.send(system.current_time(int(now)))
