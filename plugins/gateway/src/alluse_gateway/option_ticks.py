"""What is said of an option's volatility: with its line, and on request."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from alluse_paper.market import Listing, TopOfBook, is_price

from alluse_core.model import Instrument
from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway.answers import ticks
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.session import Session

if TYPE_CHECKING:
    from alluse_gateway.option_model import OptionModel, Terms


class OptionTicks:
    """Sends the computations (10 to 13) of one line, each when its price or the spot has moved."""

    def __init__(
        self, session: Session, writer: ticks.TickWriter, model: OptionModel, option: Instrument
    ) -> None:
        self._session = session
        self._writer = writer
        self._model = model
        self._option = option
        self._sent: dict[int, tuple[float, float]] = {}

    def send(self, top: TopOfBook) -> None:
        """Send what has changed."""
        terms = self._model.terms(self._option)
        if terms is None:
            return
        for kind, price in (
            (ticks.BID_COMPUTATION, top.bid),
            (ticks.ASK_COMPUTATION, top.ask),
            (ticks.LAST_COMPUTATION, top.last),
            (ticks.MODEL_COMPUTATION, top.mid),
        ):
            if not is_price(price) or self._sent.get(kind) == (price, terms.spot):
                continue
            self._sent[kind] = (price, terms.spot)
            implied = terms.implied(price)
            greeks = terms.greeks(implied) if implied == implied else None
            self._session.send(self._writer.computation(kind, implied, price, greeks, terms.spot))


class CalculationDesk:
    """Answers calculateImpliedVolatility and calculateOptionPrice: 21, or 200, 321."""

    def __init__(self, contracts: ContractDesk, model: OptionModel | None) -> None:
        self._contracts = contracts
        self._model = model

    def calculate(self, session: Session, request: r.CalculateOption) -> None:
        """Answer at once; there is nothing to cancel afterwards."""
        number = request.request_id
        listing = self._contracts.one(request.contract)
        if isinstance(listing, str):
            session.error(number, notices.NO_DEFINITION, listing)
            return
        value, spot = request.value, request.under_price
        terms = self._terms(listing, spot)
        if terms is None or value is None or not 0 < value < math.inf:
            cause = "an option, a positive value and the price of its underlying are needed"
            session.error(number, notices.VALIDATION, notices.validation("calculation", cause))
            return
        volatility = terms.implied(value) if request.implied else min(value, 5.0)
        if volatility != volatility:
            cause = f"no volatility gives the price {value}"
            session.error(number, notices.VALIDATION, notices.validation("calculation", cause))
            return
        greeks = terms.greeks(volatility)
        writer = ticks.TickWriter(number)
        kind = ticks.CUSTOM_COMPUTATION
        session.send(writer.computation(kind, volatility, greeks.price, greeks, terms.spot))

    def cancel(self, session: Session, request: r.CancelCalculation) -> None:
        """Answer nothing: a calculation has ended when it is asked to be cancelled."""

    def _terms(self, listing: Listing, spot: float | None) -> Terms | None:
        if spot is None or not is_price(spot) or spot < 0:
            return None
        return self._model.terms(listing.instrument, spot) if self._model is not None else None
