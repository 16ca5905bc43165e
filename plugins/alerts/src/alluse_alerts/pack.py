"""The trading pack: on by default, and one occurrence pages."""

from __future__ import annotations

from collections.abc import Iterator

from alluse_alerts.rule import Rule, below, no_data
from alluse_alerts.settings import (
    LinkSettings,
    PacingSettings,
    PositionSettings,
    ProtectionSettings,
    SurplusSettings,
    UnknownOrderSettings,
)
from alluse_core.model import Condition, Reading, Severity
from alluse_core.model.metric import Labels
from alluse_core.ports import MetricView


class BrokerLinkDown(Rule[LinkSettings]):
    """The order path to a broker does not work. ``broker.link_up`` is 1 while it does.

    An outage that outlasts its reset window, and one that needs the weekly login, are subjects of
    their own: told apart from the first word of it, and told anew.
    """

    name = "broker_link_down"
    severity = Severity.CRITICAL

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read each broker."""
        links = view.latest("broker", "link_up")
        if not links:
            yield no_data(1.0, "no broker's link is measured")
        for series, up in links.items():
            name = dict(series.labels).get("broker", "?")
            condition = Condition.CLEAR if up >= 1.0 else Condition.TRIP
            state = "up" if up >= 1.0 else "down"
            yield Reading(condition, up, 1.0, f"the link to {name} is {state}", series.labels)
        yield from self._overdue(view)
        yield from self._login(view)

    def _overdue(self, view: MetricView) -> Iterator[Reading]:
        for series, late in view.latest("ibkr_integration", "outage_overdue_seconds").items():
            name = dict(series.labels).get("broker", "?")
            condition = Condition.TRIP if late > 0 else Condition.CLEAR
            text = f"the link to {name} is overdue for {late / 60:.0f} min: look at its gateway"
            if late <= 0:
                text = f"the link to {name} is not overdue"
            subject = (*series.labels, ("cause", "overdue"))
            yield Reading(condition, late, 0.0, text, subject)

    def _login(self, view: MetricView) -> Iterator[Reading]:
        for series, due in view.latest("ibkr_integration", "weekly_login_due").items():
            name = dict(series.labels).get("broker", "?")
            condition = Condition.TRIP if due >= 1.0 else Condition.CLEAR
            text = f"{name} waits for no login"
            if due >= 1.0:
                text = (
                    f"{name} waits for THE WEEKLY LOGIN: a person must log in at TWS or IB Gateway "
                    "with the second factor; nothing can be sent until then"
                )
            subject = (*series.labels, ("cause", "weekly_login"))
            yield Reading(condition, due, 1.0, text, subject)


class UnknownOrder(Rule[UnknownOrderSettings]):
    """An order whose fate the broker's words do not tell. It counts fully as exposure."""

    name = "unknown_order"
    severity = Severity.CRITICAL
    unit = "orders"

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read by whatever labels the count has."""
        counts = view.latest("trading_system", "orders_unknown_now")
        if not counts:
            yield no_data(float(self.settings.trip), "UNKNOWN orders are not counted")
        for series, count in counts.items():
            condition = Condition.TRIP if count >= self.settings.trip else Condition.CLEAR
            text = f"{count:g} orders are UNKNOWN"
            yield Reading(condition, count, float(self.settings.trip), text, series.labels)


class UnprotectedPosition(Rule[ProtectionSettings]):
    """An open position without working protection at the broker, where the agent asked for some.

    ``trading_system.unprotected_quantity{instrument=}`` is how much of it no stop covers; the
    series without a label is there as long as the order room looks.
    """

    name = "unprotected_position"
    severity = Severity.CRITICAL

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read each instrument that ever lacked its protection."""
        found = view.latest("trading_system", "unprotected_quantity")
        if not found:
            yield no_data(0.0, "nobody looks whether positions are protected")
        for series, quantity in found.items():
            name = dict(series.labels).get("instrument")
            if name is None:
                if len(found) == 1:
                    yield Reading(Condition.CLEAR, 0.0, 0.0, "all that is open is protected")
                continue
            condition = Condition.TRIP if quantity > 0 else Condition.CLEAR
            text = f"{quantity:g} {name} are open and no working exit at the broker protects them"
            if quantity <= 0:
                text = f"what is open of {name} is protected"
            yield Reading(condition, quantity, 0.0, text, series.labels)


class ExitsExceedPosition(Rule[SurplusSettings]):
    """Exits of brackets work at the broker for more than is open: filled, they flip the position.

    ``trading_system.exits_surplus{account=}`` is how much more, from an account's first bracket
    on.
    """

    name = "exits_exceed_position"
    severity = Severity.CRITICAL

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read each account that ever had a bracket."""
        found = view.latest("trading_system", "exits_surplus")
        if not found:
            yield self._nothing(view)
        for series, quantity in found.items():
            name = dict(series.labels).get("account", "?")
            condition = Condition.TRIP if quantity > 0 else Condition.CLEAR
            text = f"exits at the broker would close {quantity:g} more than is open in {name}"
            if quantity <= 0:
                text = f"no exit is larger than what is open in {name}"
            yield Reading(condition, quantity, 0.0, text, series.labels)

    def _nothing(self, view: MetricView) -> Reading:
        if view.latest("trading_system", "unprotected_quantity"):
            return Reading(Condition.CLEAR, 0.0, 0.0, "there is no bracket")
        return no_data(0.0, "nobody looks at the exits of brackets")


class PositionMismatch(Rule[PositionSettings]):
    """Our position differs from the broker's.

    ``trading_system.position_differences{broker=}`` holds the newest comparison's result and
    ``position_comparisons`` counts them; where they are not counted, each tick is one.
    """

    name = "position_mismatch"
    severity = Severity.CRITICAL
    unit = "positions"

    def __init__(self, settings: PositionSettings) -> None:
        super().__init__(settings)
        self._seen: dict[Labels, tuple[float, int]] = {}

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read each broker."""
        differences = view.latest("trading_system", "position_differences")
        if not differences:
            yield no_data(1.0, "positions are not compared")
        made = {
            series.labels: value
            for series, value in view.latest("trading_system", "position_comparisons").items()
        }
        for series, count in differences.items():
            comparison = made.get(series.labels, view.now)
            times = self._in_a_row(series.labels, comparison, count)
            if times == 0:
                condition = Condition.CLEAR
            else:
                enough = times >= self.settings.times
                condition = Condition.TRIP if enough else Condition.HOLD
            text = f"{count:g} positions differ from the broker's, {times} times in a row"
            yield Reading(condition, count, 1.0, text, series.labels)

    def _in_a_row(self, subject: Labels, comparison: float, count: float) -> int:
        last, times = self._seen.get(subject, (float("nan"), 0))
        if comparison != last:
            times = times + 1 if count > 0 else 0
        self._seen[subject] = (comparison, times)
        return times


class PacingHeadroomLow(Rule[PacingSettings]):
    """Nearly every message that the broker allows is used: orders wait for their turn."""

    name = "pacing_headroom_low"
    unit = "%"

    def read(self, view: MetricView) -> Iterator[Reading]:
        """Read each broker that limits its messages."""
        terms = self.settings
        found = view.latest("broker", "pacing_headroom_percent")
        if not found:
            yield no_data(terms.trip, "no broker's pacing is measured")
        for series, headroom in found.items():
            text = f"{headroom:.0f} % of the broker's message limit are left"
            condition = below(headroom, terms.trip, terms.clear)
            yield Reading(condition, headroom, terms.trip, text, series.labels)
