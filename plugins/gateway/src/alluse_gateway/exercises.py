"""exerciseOptions: a client exercises what it is long of, or lets it lapse."""

from __future__ import annotations

from alluse_paper.exchange import Exchange
from alluse_paper.orders import ZERO
from alluse_paper.settlement import exercise, intrinsic

from alluse_gateway import notices
from alluse_gateway import requests as r
from alluse_gateway.contracts import ContractDesk
from alluse_gateway.ledger import Ledger
from alluse_gateway.session import Session

EXERCISE, LAPSE = 1, 2


class ExerciseDesk:
    """Answers exerciseOptions. An exercise takes place at once; a real one, overnight."""

    def __init__(self, exchange: Exchange, contracts: ContractDesk, ledger: Ledger) -> None:
        self._exchange = exchange
        self._contracts = contracts
        self._ledger = ledger

    def exercise(self, session: Session, request: r.ExerciseOptions) -> None:
        """Exercise, or say why not: 200, 321, or 322 for what the position does not allow."""
        listing = self._contracts.one(request.contract)
        if isinstance(listing, str):
            session.error(request.request_id, notices.NO_DEFINITION, listing)
            return
        accounts = self._exchange.accounts.names
        account = request.account or (accounts[0] if len(accounts) == 1 else "")
        if account not in accounts or request.action not in (EXERCISE, LAPSE):
            cause = f"Invalid account code '{account}' or exercise action {request.action}."
            text = notices.validation("exercise", cause)
            session.error(request.request_id, notices.VALIDATION, text)
            return
        why = ""
        if request.action == EXERCISE:
            worth = intrinsic(self._exchange, listing.instrument)
            if not worth and not request.override:
                why = "The option is not in the money."
            elif request.quantity <= 0:
                why = "The quantity to exercise must be positive."
            else:
                quantity = ZERO + request.quantity
                why = exercise(self._exchange, account, listing.instrument, quantity)
        self._ledger.note(
            "exercise",
            client_id=session.client_id,
            order_id=request.request_id,
            symbol=listing.local_symbol,
            lapse=request.action == LAPSE,
            quantity=request.quantity,
            account=account,
            reason=why,
        )
        if why:
            text = f"Error processing request.-'exercise' : cause - {why}"
            session.error(request.request_id, notices.PROCESSING, text)
