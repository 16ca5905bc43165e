"""The desks of the gateway: each answers one kind of question, and each is made once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import attrs
from alluse_paper.exchange import Exchange
from alluse_paper.market import Listing, Past

from alluse_core.clock import Clock
from alluse_core.model import Instrument, SecurityType
from alluse_gateway.account import AccountDesk
from alluse_gateway.bars import BarHistory
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.display_groups import DisplayGroupDesk
from alluse_gateway.exercises import ExerciseDesk
from alluse_gateway.faults import Faults
from alluse_gateway.generic_ticks import SHARES_TO_BORROW, Figures
from alluse_gateway.history import HistoryDesk
from alluse_gateway.history_source import HistorySource
from alluse_gateway.history_ticks import HistoricalTicksDesk
from alluse_gateway.ledger import Ledger
from alluse_gateway.market_data import LINES, MarketDesk
from alluse_gateway.market_depth import DepthDesk
from alluse_gateway.news import NewsDesk
from alluse_gateway.option_ticks import CalculationDesk
from alluse_gateway.order_questions import OrderQuestions
from alluse_gateway.orders import OrderDesk
from alluse_gateway.reference import ReferenceDesk
from alluse_gateway.scanner import ScannerDesk
from alluse_gateway.session import Session
from alluse_gateway.tick_by_tick import TickByTickDesk

if TYPE_CHECKING:
    from alluse_gateway.option_model import OptionModel


@attrs.frozen(kw_only=True)
class DeskOptions:
    """How the desks answer: what :class:`~alluse_gateway.server.SimulatedGateway` was given."""

    sampling: float | None = None
    lines: int = LINES
    entitled: bool = True
    delayed: bool = True
    snapshot_seconds: float = 0.0
    regulatory_snapshots: bool = False
    strict_order_ids: bool = True
    master_client_id: int | None = None
    active_orders: int = 0
    history_seconds: float = 0.0
    history_pacing: bool = True


class Desks:
    """All of them. ``lent`` is how many shares can be borrowed, where that was set.

    ``past`` is what was before the market began; ``clients`` returns who is connected.
    """

    def __init__(
        self,
        clock: Clock,
        exchange: Exchange,
        faults: Faults,
        ledger: Ledger,
        past: Past | None,
        clients: Callable[[], Iterable[Session]],
        options: DeskOptions,
    ) -> None:
        self._clock, self._exchange = clock, exchange
        self._faults, self._ledger, self._clients = faults, ledger, clients
        self.lent: dict[Instrument, float] = {}
        self._bars = BarHistory()
        self.contracts = ContractDesk(clock, exchange)
        source = HistorySource(exchange, self._bars, past)
        self._make_market_desks(source, options)
        self._make_history_desks(source, options)
        self._make_order_desks(options)
        self.reference = ReferenceDesk(exchange)
        self.news = NewsDesk(clock, self.contracts, clients)
        self.scanner = ScannerDesk(exchange)
        self.display_groups = DisplayGroupDesk()

    def _make_market_desks(self, source: HistorySource, options: DeskOptions) -> None:
        exchange, contracts, faults = self._exchange, self.contracts, self._faults
        model = _option_model(exchange)
        self.calculations = CalculationDesk(contracts, model)
        self.depth = DepthDesk(exchange, contracts, faults)
        self.market_data = MarketDesk(
            exchange,
            contracts,
            faults,
            sampling=options.sampling,
            lines=options.lines,
            entitled=options.entitled,
            delayed=options.delayed,
            snapshot_seconds=options.snapshot_seconds,
            regulatory=options.regulatory_snapshots,
            figures=Figures(exchange, source, self._bars, self._shares_to_borrow),
            option_model=model,
        )

    def _make_history_desks(self, source: HistorySource, options: DeskOptions) -> None:
        self.history = HistoryDesk(
            self._clock,
            self.contracts,
            self._faults,
            source,
            seconds=options.history_seconds,
            pacing=options.history_pacing,
        )
        self.historical_ticks = HistoricalTicksDesk(self.contracts, source, self._bars)
        self.tick_by_tick = TickByTickDesk(
            self._exchange, self.contracts, self._faults, self.historical_ticks
        )

    def _make_order_desks(self, options: DeskOptions) -> None:
        clock, exchange, contracts = self._clock, self._exchange, self.contracts
        self.accounts = AccountDesk(clock, exchange, contracts, self._faults)
        self.orders = OrderDesk(
            clock,
            exchange,
            contracts,
            self._faults,
            self._ledger,
            self._clients,
            self.accounts.filled,
            strict_ids=options.strict_order_ids,
            active_orders=options.active_orders,
        )
        self.orders.master_client_id = options.master_client_id
        self.exercises = ExerciseDesk(exchange, contracts, self._ledger)
        self.questions = OrderQuestions(clock, self.orders.book, self.orders.hears, contracts)

    def on_market(self, instrument: Instrument) -> None:
        """An instrument has moved."""
        top = self._exchange.top(instrument)
        if top is not None:
            self._bars.on_top(instrument, top)
            self.tick_by_tick.on_market(instrument, top)
            self.depth.on_market(instrument, top)
        self.market_data.on_market(instrument)
        self.orders.on_market(instrument)

    def forget(self, session: Session) -> None:
        """A client is gone: drop what it subscribed to. Its orders stay."""
        self.market_data.forget(session)
        self.history.forget(session)
        self.tick_by_tick.forget(session)
        self.depth.forget(session)
        self.accounts.forget(session)
        self.news.forget(session)
        self.scanner.forget(session)
        self.display_groups.forget(session)

    def lose_data(self) -> None:
        """Drop what every client watches (1101)."""
        self.market_data.forget()
        self.tick_by_tick.forget()
        self.depth.forget()

    def close(self) -> None:
        """Send nothing more by themselves."""
        self.market_data.close()
        self.history.close()

    def _shares_to_borrow(self, listing: Listing) -> float:
        if self._exchange.is_unlocated(listing.instrument):
            return 0.0
        return self.lent.get(listing.instrument, SHARES_TO_BORROW)


def _option_model(exchange: Exchange) -> OptionModel | None:
    """Return the model of the listed options, whose library is loaded where there are any."""
    kinds = {each.instrument.security_type for each in exchange.listings}
    if SecurityType.OPTION not in kinds:
        return None
    from alluse_gateway.option_model import OptionModel

    return OptionModel(exchange)
