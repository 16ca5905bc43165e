"""The checks of an order: gates, stages, their budget, and the error that a denial becomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from alluse_core.errors import OrderDenied, TradingHalted
from alluse_core.model import (
    AccountMode,
    GroupKind,
    LinkState,
    Order,
    OrderGroup,
    SecurityType,
)
from alluse_core.orders.desk import Desk
from alluse_core.orders.increase import risk_increasing
from alluse_core.orders.view import BookView, DefinitionLookup, QuoteLookup
from alluse_core.ports import Broker, Decision, OrderStage, StagePhase, TradingState, deny
from alluse_core.settings import OrdersSettings

Denial = tuple[str, Decision]
"""(name of the stage, its decision)"""


@attrs.define
class Gate:
    """What of the runtime's state decides whether new risk may be sent."""

    state: TradingState = TradingState.ACTIVE
    reason: str = ""
    reconciling: set[str] = attrs.field(factory=set)
    link_changes: Counter[str] = attrs.field(factory=Counter)
    unfinished: Callable[[], int] = lambda: 0
    unapproved: Callable[[str], int] = lambda _: 0
    """How many differences of a broker's start wait for approval; 1 while it is being asked."""
    canary: Callable[[Order, int], Decision | None] = lambda _, __: None
    """(an order, how many new ones its intent has): why they are beyond a new version's caps."""


class Checks:
    """Runs the stages of an order, each timed, all within one budget.

    Those of the validate and route phases hold for every order. Gates and risk stages hold for
    orders that are not proven to reduce risk: safe means able to get out.
    """

    def __init__(
        self,
        stages: Sequence[OrderStage],
        desk: Desk,
        gate: Gate,
        settings: OrdersSettings,
        quotes: QuoteLookup,
        definitions: DefinitionLookup,
    ) -> None:
        self._desk = desk
        self._gate = gate
        self._settings = settings
        self._quotes = quotes
        self._definitions = definitions
        by_phase = {
            phase: tuple(stage for stage in stages if stage.phase is phase) for phase in StagePhase
        }
        self._always = by_phase[StagePhase.VALIDATE], by_phase[StagePhase.ROUTE]
        self._risk = by_phase[StagePhase.RISK]

    def decide(
        self,
        order: Order,
        broker: Broker,
        group: OrderGroup | None = None,
        without: str = "",
        *,
        forced: bool = False,
    ) -> tuple[Denial | None, bool]:
        """Return (the first denial, whether the order is proven to reduce risk).

        ``forced`` leaves the gates and risk stages out, for flatten's own orders.
        """
        gate, clock = self._gate, self._desk.clock
        view = BookView(
            self._desk.book,
            clock,
            broker,
            order.account,
            gate.state,
            broker.name in gate.reconciling,
            group,
            self._quotes,
            self._definitions,
            clock.monotonic(),
            without,
        )
        wrong = self._account(order, broker) or _impossible_price(order)
        if wrong is not None:
            return wrong, False
        reducing = (
            forced
            or view.reduces(order)
            or _closes_its_entry(order, group, view)
            or self._tightens(order, without)
        )
        before, after = self._always
        stages = before + after if reducing else before + self._risk + after
        if order.reduce_only and not reducing:
            reason = "it is reduce-only, and could open, enlarge or flip the position"
            position = view.position(order.instrument)
            return ("reduce_only", deny(reason, limit=position, value=order.quantity)), False
        if not reducing:
            shut = self._shut(view, broker)
            if shut is not None:
                return shut, False
            new = 0 if without else len(group.orders) if group is not None else 1
            capped = self._gate.canary(order, new)
            if capped is not None:
                return ("canary", capped), False
        return self._run(stages, order, view, reducing), reducing

    def _tightens(self, order: Order, without: str) -> bool:
        """Whether a change moves no more than the price of an order that a halt would leave."""
        book = self._desk.book
        live = book.get(without) if without else None
        if live is None or order.quantity > live.order.quantity or not book.certain(order):
            return False
        if live.enlarges(order.quantity):
            return False
        account = (order.broker, order.account)
        entry = book.get(live.entry) if live.entry else None
        if entry is not None and not entry.state.is_terminal:
            # It works once its entry has filled: what an entry closes, its exit would open again.
            return book.position(account, order.instrument) * order.side.sign <= 0
        return live not in risk_increasing(book, book.working(account, order.instrument))

    def _account(self, order: Order, broker: Broker) -> Denial | None:
        if order.account not in broker.accounts:
            reason = f"account {order.account!r} is not among those of {broker.name}"
            return "account", deny(reason, limit=", ".join(broker.accounts), value=order.account)
        mode = broker.account_mode(order.account)
        if mode is AccountMode.PAPER or self._settings.live_account == order.account:
            return None
        return "live_account", deny(
            f"account {order.account} is {mode.value}, and live_account does not name it",
            limit=self._settings.live_account or "none",
            value=order.account,
            source="README.md, paper by default",
        )

    def _shut(self, view: BookView, broker: Broker) -> Denial | None:
        gate, settings = self._gate, self._settings
        if gate.state is not TradingState.ACTIVE:
            reason = f"trading is {gate.state.value}: {gate.reason}"
            return "trading_state", deny(reason, limit="ACTIVE", value=gate.state.value)
        if broker.link is not LinkState.UP:
            reason = f"the link of {broker.name} is {broker.link.value}"
            return "link", deny(reason, limit="up", value=broker.link.value)
        if view.reconciling:
            return "reconciling", deny(f"the evidence of {broker.name} is being asked for")
        breaker = self._desk.breakers.get(broker.name)
        refusal = breaker.refuses(view.now) if breaker is not None else ""
        if breaker is not None and refusal:
            state = breaker.state(view.now)
            return "breaker", deny(f"the breaker of {broker.name} is {state.value}: {refusal}")
        waiting = gate.unapproved(broker.name)
        if waiting:
            reason = f"what the start found waits for approval ({waiting} differences)"
            return "approval", deny(reason, limit=0, value=waiting)
        unfinished = gate.unfinished()
        if unfinished >= settings.max_unfinished:
            reason = f"{unfinished} orders wait to be journaled or sent"
            return "queue", deny(reason, limit=settings.max_unfinished, value=unfinished)
        return None

    def _run(
        self, stages: Sequence[OrderStage], order: Order, view: BookView, reducing: bool
    ) -> Denial | None:
        monotonic, meters = self._desk.clock.monotonic, self._desk.meters
        started = last = view.now
        slowest, longest = "", 0.0
        for stage in stages:
            try:
                decision = stage.check(order, view)
            except Exception as error:  # noqa: BLE001 - a control that cannot decide denies
                decision = deny(f"the stage failed: {self._desk.told(error)}")
            now = monotonic()
            spent, last = now - last, now
            meters.stage(stage.name).record(spent * 1e3)
            if spent > longest:
                slowest, longest = stage.name, spent
            if not decision.allowed:
                return stage.name, decision
        budget = self._settings.stage_budget
        if last - started > budget and not reducing:
            reason = (
                f"the stages took {last - started:.3f} s, {slowest} the longest of them,"
                f" and [orders] stage_budget gives them {budget} s"
            )
            return slowest, deny(reason, limit=f"{budget} s", value=f"{longest:.3f} s")
        return None


_ABOVE_ZERO = frozenset({SecurityType.STOCK, SecurityType.FOREX})


def _impossible_price(order: Order) -> Denial | None:
    """Return the denial of a price at which the instrument cannot trade, with any stages or none.

    A share or a currency costs something. An option costs nothing at the least, where a worthless
    one is sold off (cabinet trades). Futures were below zero (WTI in April 2020), as spreads are.
    """
    kind = order.instrument.security_type
    for price in (order.limit_price, order.stop_price):
        if price is None or price > 0:
            continue
        if kind in _ABOVE_ZERO or (kind is SecurityType.OPTION and price < 0):
            least = "above 0" if kind in _ABOVE_ZERO else "0 or above"
            return "price", deny(f"a {kind.value} has no price of {price}", limit=least)
    return None


def _closes_its_entry(order: Order, group: OrderGroup | None, view: BookView) -> bool:
    """Whether an order is a bracket's exit that cannot do more than close what its entry opens.

    What an entry closes, its exits would open again.
    """
    if group is None or group.kind is not GroupKind.BRACKET:
        return False
    entry = group.orders[0]
    return (
        order is not entry
        and order.instrument is entry.instrument
        and order.side is entry.side.opposite
        and order.quantity <= entry.quantity
        and not view.reduces(entry)
    )


_HINTS = {
    "account": "name one of the broker's accounts, or set [orders] default_account",
    "live_account": "to trade live, repeat the account's id in [orders] live_account",
    "price": "look at where it was computed; what is not known is not 0",
    "reduce_only": "ask for the position first; orders that still work count against it",
    "trading_state": "resume with your name: alluse resume --by NAME",
    "link": "it connects again by itself; 'alluse doctor --connect' says what keeps it from that",
    "reconciling": "wait: it asks again by itself until the broker has told everything",
    "breaker": "where it is not off it tries again by itself; see alluse orders close-breaker",
    "approval": "'alluse orders status' shows them; alluse orders approve --by NAME",
    "canary": "see [orders.canary]; alluse orders lift --by NAME ends the caps",
    "queue": "send more slowly, or raise [orders] max_unfinished",
}


def refusal(key: str, denial: Denial) -> OrderDenied:
    """Return the typed error of a denial: reason, limit, value and source."""
    stage, decision = denial
    figures = ", ".join(
        f"{name} {value}"
        for name, value in (
            ("value", decision.value),
            ("limit", decision.limit),
            ("source", decision.source),
        )
        if value
    )
    kind = TradingHalted if stage == "trading_state" else OrderDenied
    message = f"order {key!r} was denied by {stage}: {decision.reason}"
    return kind(
        f"{message} ({figures})" if figures else message,
        stage=stage,
        hint=_HINTS.get(stage, f"see [stages.{stage}]"),
    )
