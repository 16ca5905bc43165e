"""Where a broker's words come in: in order, each to the part that it concerns."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from alluse_core.model import (
    BrokerNotice,
    Commission,
    Evidence,
    Execution,
    LinkReport,
    LinkState,
    OrderReport,
)
from alluse_core.orders.checks import Gate
from alluse_core.orders.commissions import Commissions
from alluse_core.orders.desk import Desk
from alluse_core.orders.fills import Fills
from alluse_core.orders.lanes import Outbox
from alluse_core.orders.notices import Notices
from alluse_core.orders.records import Kind
from alluse_core.orders.reports import Reports
from alluse_core.ports import Broker

_log = logging.getLogger(__name__)


class Intake:
    """The sink of all evidence. ``started``: a link that comes up is worth asking over.

    Until then the start itself asks every broker.
    """

    def __init__(
        self,
        desk: Desk,
        gate: Gate,
        reports: Reports,
        fills: Fills,
        commissions: Commissions,
        notices: Notices,
        brokers: Mapping[str, Broker],
        outboxes: Mapping[str, Outbox],
    ) -> None:
        self._desk = desk
        self._gate = gate
        self._reports = reports
        self._fills = fills
        self._commissions = commissions
        self._notices = notices
        self._brokers = brokers
        self._outboxes = outboxes
        self.started = False

    def take(self, item: Evidence) -> None:
        """Take one piece of evidence. Never raises, never drops."""
        try:
            self._pass_on(item)
        except Exception:  # noqa: BLE001 - a transport's callback must not die of what it reported
            _log.exception("evidence could not be applied: %r", item)
            self._desk.meters.evidence_errors.value += 1
            self._desk.ask(item.broker, "a piece of evidence could not be applied")

    def _pass_on(self, item: Evidence) -> None:
        if isinstance(item, OrderReport):
            self._reports.take(item)
        elif isinstance(item, Execution):
            self._fills.take(item)
        elif isinstance(item, Commission):
            self._commissions.take(item)
        elif isinstance(item, BrokerNotice):
            self._notices.take(item, self._brokers[item.broker].link)
        else:
            self._link(item)

    def _link(self, report: LinkReport) -> None:
        journal = self._desk.journal
        body = {"broker": report.broker, "link": report.state.value, "reason": report.reason}
        journal.append(journal.scribe.row(Kind.NOTICE, body))
        meters = self._desk.meters
        meters.count("link_changes", broker=report.broker, state=report.state).value += 1
        if report.state is not LinkState.GATED:
            # A gate that closes leaves what is known as true as it was.
            self._gate.reconciling.add(report.broker)
            self._gate.link_changes[report.broker] += 1
        if report.state.works and report.broker in self._gate.reconciling and self.started:
            self._outboxes[report.broker].resume_deferred()
            self._desk.ask(report.broker, report.reason)
