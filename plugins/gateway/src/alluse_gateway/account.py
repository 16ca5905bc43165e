"""Positions, account values and profit and loss, asked for once or kept up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from alluse_paper.accounts import AccountFigures, Holding
from alluse_paper.exchange import Exchange

from alluse_core.clock import Clock
from alluse_core.model import Instrument
from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway.answers import accounts as answers
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.faults import Faults
from alluse_gateway.session import Session
from alluse_gateway.wire import decimal_text

REFRESH_SECONDS = 180
"""How often account values go out while no position changes, by IBKR's documentation."""

_CENT = Decimal("0.01")
_FIGURES = {
    "TotalCashValue": "cash",
    "NetLiquidation": "net_liquidation",
    "GrossPositionValue": "gross_position_value",
    "InitMarginReq": "initial_margin",
    "MaintMarginReq": "maintenance_margin",
    "AvailableFunds": "available_funds",
    "ExcessLiquidity": "excess_liquidity",
    "BuyingPower": "buying_power",
    "RealizedPnL": "realized",
    "UnrealizedPnL": "unrealized",
    "FullInitMarginReq": "initial_margin",
    "FullMaintMarginReq": "maintenance_margin",
    "FullAvailableFunds": "available_funds",
    "FullExcessLiquidity": "excess_liquidity",
    "LookAheadInitMarginReq": "initial_margin",
    "LookAheadMaintMarginReq": "maintenance_margin",
    "LookAheadAvailableFunds": "available_funds",
    "LookAheadExcessLiquidity": "excess_liquidity",
    "EquityWithLoanValue": "net_liquidation",
}
"""TWS's name of each figure, and the field of AccountFigures that it is here."""

Row = tuple[str, str, str]
"""A key, its value and its currency."""


def rows_of(figures: AccountFigures, cash: Iterable[tuple[str, Decimal]]) -> list[Row]:
    """Return an account's values as TWS names them; a figure that is not known is left out."""
    rows: list[Row] = [("AccountType", "INDIVIDUAL", "")]
    for name, field in _FIGURES.items():
        value = getattr(figures, field)
        if value is not None:
            rows.append((name, decimal_text(value.quantize(_CENT)), figures.currency))
    rows += [("CashBalance", decimal_text(each.quantize(_CENT)), name) for name, each in cash]
    if figures.cash is not None:
        rows.append(("CashBalance", decimal_text(figures.cash.quantize(_CENT)), "BASE"))
    return rows


class AccountDesk:
    """Answers from the exchange's accounts, and sends on what changes to who subscribed."""

    def __init__(
        self, clock: Clock, exchange: Exchange, contracts: ContractDesk, faults: Faults
    ) -> None:
        self._clock = clock
        self._exchange = exchange
        self._contracts = contracts
        self._faults = faults
        self._subscribed: dict[tuple[Session, int, int], Callable[[], None]] = {}
        self._opening: dict[str, Decimal] = {}
        self._ticks = 0
        self._traded = False
        for name in exchange.accounts.names:
            net = exchange.accounts.figures(name).net_liquidation
            if net is not None:
                self._opening[name] = net

    # --- positions --------------------------------------------------------------------------

    def positions(self, session: Session, request: r.Positions) -> None:
        """Answer reqPositions, and keep it up to date."""
        for account in self._exchange.accounts.names:
            for holding in self._exchange.accounts.positions(account):
                self._send_position(session, account, holding)
        session.send(answers.position_end())
        self._subscribed[(session, 61, -1)] = _nothing

    def _send_position(self, session: Session, account: str, holding: Holding) -> None:
        contract = self._contracts.text(self._exchange.listing(holding.instrument))
        session.send(answers.position(contract, account, holding.quantity, _cost(holding)))

    def positions_multi(self, session: Session, request: r.PositionsMulti) -> None:
        """Answer reqPositionsMulti."""
        account = self._account(session, request.request_id, request.account)
        if account is None:
            return
        for holding in self._exchange.accounts.positions(account):
            contract = self._contracts.text(self._exchange.listing(holding.instrument))
            session.send(
                answers.position_multi(
                    request.request_id, contract, account, holding.quantity, _cost(holding)
                )
            )
        session.send(answers.position_multi_end(request.request_id))

    def filled(self, account: str, instrument: Instrument) -> None:
        """A fill has changed a position: tell who subscribed; values follow within the second."""
        self._traded = True
        holding = next(
            (
                each
                for each in self._exchange.accounts.holdings(account)
                if each.instrument is instrument
            ),
            None,
        )
        if holding is None:
            return
        for session, kind, _ in tuple(self._subscribed):
            if kind == 61:
                self._send_position(session, account, holding)

    # --- values -----------------------------------------------------------------------------

    def updates(self, session: Session, request: r.AccountUpdates) -> None:
        """Answer reqAccountUpdates: 6 for each value, 7 for each holding, 8, 54."""
        key = (session, 6, -1)
        if not request.subscribe:
            self._subscribed.pop(key, None)
            return
        account = self._account(session, -1, request.account)
        if account is not None:
            self._send_updates(session, account, ends=True)
            self._subscribed[key] = lambda: self._send_updates(session, account, ends=False)

    def _send_updates(self, session: Session, account: str, *, ends: bool) -> None:
        for key, value, currency in self._rows(account):
            session.send(answers.account_value(key, value, currency, account))
        for holding in self._exchange.accounts.positions(account):
            contract = self._contracts.text(self._exchange.listing(holding.instrument))
            top = self._exchange.top(holding.instrument)
            unrealized = self._exchange.accounts.unrealized(holding)
            if top is None or unrealized is None:
                continue
            session.send(
                answers.portfolio_value(
                    contract,
                    account,
                    holding.quantity,
                    top.mark,
                    _cost(holding),
                    float(unrealized),
                    holding.realized,
                )
            )
        session.send(answers.account_time(f"{self._clock.now():%H:%M}"))
        if ends:
            session.send(answers.account_download_end(account))

    def updates_multi(self, session: Session, request: r.AccountUpdatesMulti) -> None:
        """Answer reqAccountUpdatesMulti: 73 for each value, 74."""
        account = self._account(session, request.request_id, request.account)
        if account is None:
            return
        number = request.request_id

        def send() -> None:
            for key, value, currency in self._rows(account):
                session.send(answers.account_update_multi(number, account, key, value, currency))

        send()
        session.send(answers.account_update_multi_end(number))
        self._subscribed[(session, 76, number)] = send

    def summary(self, session: Session, request: r.AccountSummary) -> None:
        """Answer reqAccountSummary: 63 for each tag that was asked for, 64."""
        number = request.request_id

        def send() -> None:
            for account in self._exchange.accounts.names:
                for key, value, currency in self._rows(account):
                    ledger = key == "CashBalance" and any(
                        tag.startswith("$LEDGER") for tag in request.tags
                    )
                    if key in request.tags or ledger:
                        session.send(answers.account_summary(number, account, key, value, currency))

        send()
        session.send(answers.account_summary_end(number))
        self._subscribed[(session, 62, number)] = send

    def _rows(self, account: str) -> list[Row]:
        accounts = self._exchange.accounts
        return rows_of(accounts.figures(account), accounts.cash(account).items())

    # --- profit and loss --------------------------------------------------------------------

    def profit(self, session: Session, request: r.ProfitAndLoss) -> None:
        """Answer reqPnL at once and each second. Daily means since this gateway started."""
        account = self._account(session, request.request_id, request.account)
        if account is None:
            return
        last: list[tuple[Decimal | None, ...]] = []

        def send() -> None:
            figures = self._exchange.accounts.figures(account)
            net, opening = figures.net_liquidation, self._opening.get(account)
            daily = net - opening if net is not None and opening is not None else None
            now = (daily, figures.unrealized, figures.realized)
            if last != [now]:
                last[:] = [now]
                numbers = [_float(value) for value in now]
                session.send(answers.profit_and_loss(request.request_id, *numbers))

        send()
        self._subscribed[(session, 92, request.request_id)] = send

    def profit_single(self, session: Session, request: r.ProfitAndLossSingle) -> None:
        """Answer reqPnLSingle at once and each second."""
        account = self._account(session, request.request_id, request.account)
        listing = self._exchange.listing_by_con_id(request.con_id)
        if account is None:
            return
        if listing is None:
            session.error(request.request_id, notices.NO_DEFINITION, notices.NO_DEFINITION_TEXT)
            return
        instrument = listing.instrument
        last: list[tuple[Decimal, float, float, float]] = []

        def send() -> None:
            held = next(
                (
                    each
                    for each in self._exchange.accounts.holdings(account)
                    if each.instrument is instrument
                ),
                Holding(instrument),
            )
            top = self._exchange.top(instrument)
            mark = float("nan") if top is None else top.mark
            unrealized = _float(self._exchange.accounts.unrealized(held))
            realized = float(held.realized)
            value = float(held.quantity * instrument.multiplier) * mark
            now = (held.quantity, unrealized, realized, value)
            if last != [now]:
                last[:] = [now]
                session.send(
                    answers.profit_and_loss_single(
                        request.request_id,
                        held.quantity,
                        unrealized + realized,
                        unrealized,
                        realized,
                        value,
                    )
                )

        send()
        self._subscribed[(session, 94, request.request_id)] = send

    # --- subscriptions ----------------------------------------------------------------------

    def cancel(self, session: Session, request: r.CancelAccount) -> None:
        """Answer the cancels of this desk's subscriptions."""
        self._subscribed.pop((session, request.kind, request.request_id), None)

    def forget(self, session: Session) -> None:
        """Drop the subscriptions of a client that is gone."""
        for key in [key for key in self._subscribed if key[0] is session]:
            del self._subscribed[key]

    def tick(self) -> None:
        """Called each second: profit and loss, and the values when their time has come."""
        self._ticks += 1
        if self._faults.link_lost:
            return
        all_of_them = self._traded or self._ticks % REFRESH_SECONDS == 0
        self._traded = False
        for (session, kind, _), send in tuple(self._subscribed.items()):
            if not session.congested and (all_of_them or kind in (92, 94)):
                send()

    def _account(self, session: Session, request_id: int, name: str) -> str | None:
        """Return the account meant; an empty name means the only one. Answers 321 otherwise."""
        names = self._exchange.accounts.names
        if name in names:
            return name
        if name in ("", "All") and len(names) >= 1:
            return names[0]
        cause = f"Invalid account code '{name}'."
        session.error(request_id, notices.VALIDATION, notices.validation("account", cause))
        return None


def _cost(holding: Holding) -> Decimal:
    """The average cost as TWS gives it: times the multiplier."""
    cost = holding.average_cost * holding.instrument.multiplier
    return cost.quantize(Decimal("0.00000001"))


def _float(value: Decimal | None) -> float:
    return float("nan") if value is None else float(value)


def _nothing() -> None:
    """Positions are sent when they change, not by the second."""
