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
        r.PlaceOrder: gateway.desks.orders.place,
        r.CancelOrder: gateway.desks.orders.cancel,
        r.GlobalCancel: gateway.desks.orders.cancel_all,
        r.ExerciseOptions: gateway.desks.exercises.exercise,
        r.OpenOrders: gateway.desks.questions.open_orders,
        r.AutoOpenOrders: gateway.desks.questions.auto_open_orders,
        r.CompletedOrders: gateway.desks.questions.completed,
        r.Executions: gateway.desks.questions.executions,
        r.NextIds: partial(_next_ids, gateway),
        r.ManagedAccounts: partial(_managed_accounts, gateway),
        r.CurrentTime: partial(_current_time, gateway),
        r.ServerLogLevel: _accepted,
        r.ContractDetails: gateway.desks.contracts.details,
        r.MatchingSymbols: gateway.desks.contracts.symbols,
        r.MarketRule: gateway.desks.contracts.market_rule,
        r.OptionParameters: gateway.desks.contracts.option_parameters,
        r.MarketData: gateway.desks.market_data.subscribe,
        r.CancelMarketData: gateway.desks.market_data.cancel,
        r.MarketDataType: gateway.desks.market_data.set_type,
        r.TickByTick: gateway.desks.tick_by_tick.subscribe,
        r.MarketDepth: gateway.desks.depth.subscribe,
        r.CancelMarketDepth: gateway.desks.depth.cancel,
        r.CalculateOption: gateway.desks.calculations.calculate,
        r.CancelCalculation: gateway.desks.calculations.cancel,
        r.CancelTickByTick: partial(_cancel_tick_by_tick, gateway),
        r.HistoricalData: gateway.desks.history.bars,
        r.HeadTimestamp: gateway.desks.history.head,
        r.RealTimeBars: gateway.desks.history.real_time,
        r.CancelHistory: gateway.desks.history.cancel,
        r.HistoricalTicks: gateway.desks.historical_ticks.ticks,
        r.Histogram: gateway.desks.historical_ticks.histogram,
        r.AccountUpdates: gateway.desks.accounts.updates,
        r.AccountUpdatesMulti: gateway.desks.accounts.updates_multi,
        r.AccountSummary: gateway.desks.accounts.summary,
        r.Positions: gateway.desks.accounts.positions,
        r.PositionsMulti: gateway.desks.accounts.positions_multi,
        r.ProfitAndLoss: gateway.desks.accounts.profit,
        r.ProfitAndLossSingle: gateway.desks.accounts.profit_single,
        r.CancelAccount: gateway.desks.accounts.cancel,
        r.CancelAnswered: _accepted,
        r.Unsupported: _unsupported,
        **_reference_routes(gateway),
    }


def _reference_routes(
    gateway: SimulatedGateway,
) -> dict[type[r.Request], Callable[[Session, Any], None]]:
    tables, news, groups = gateway.desks.reference, gateway.desks.news, gateway.desks.display_groups
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
        q.ScannerParameters: gateway.desks.scanner.parameters,
        q.ScannerSubscription: gateway.desks.scanner.subscribe,
        q.CancelScanner: gateway.desks.scanner.cancel,
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
    session.send(system.next_valid_id(gateway.desks.orders.book.next_id(session.client_id)))


def _managed_accounts(
    gateway: SimulatedGateway, session: Session, request: r.ManagedAccounts
) -> None:
    session.send(system.managed_accounts(gateway.account_names))


def _cancel_tick_by_tick(
    gateway: SimulatedGateway, session: Session, request: r.CancelTickByTick
) -> None:
    gateway.desks.tick_by_tick.cancel(session, request.request_id)


def _current_time(gateway: SimulatedGateway, session: Session, request: r.CurrentTime) -> None:
    now = gateway.faults.told(gateway.clock.now()).timestamp()
    if request.millis:
        session.send(system.current_time_millis(int(now * 1000)))
    else:
        session.send(system.current_time(int(now)))
