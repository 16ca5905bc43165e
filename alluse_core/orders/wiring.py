"""The parts of the order path, each made once, and the calls between those that never met."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from alluse_core.clock import Clock
from alluse_core.model import NodeIdentity, OrderReport
from alluse_core.orders.adjustments import Adjustments
from alluse_core.orders.applier import Applier
from alluse_core.orders.approval import Approval
from alluse_core.orders.archive import Archive
from alluse_core.orders.background import Background
from alluse_core.orders.book import Book
from alluse_core.orders.breaker import Breaker, BreakerState
from alluse_core.orders.canary import Canary
from alluse_core.orders.checks import Checks, Gate
from alluse_core.orders.commands import Commands
from alluse_core.orders.commissions import Commissions
from alluse_core.orders.control import Control
from alluse_core.orders.desk import Desk
from alluse_core.orders.echoes import Echoes
from alluse_core.orders.fills import Fills
from alluse_core.orders.holdings import Carried, Holdings
from alluse_core.orders.identity import References
from alluse_core.orders.ids import IdSequence
from alluse_core.orders.intake import Intake
from alluse_core.orders.journal import Journal
from alluse_core.orders.lanes import Outbox
from alluse_core.orders.live import LiveOrder
from alluse_core.orders.meters import Meters
from alluse_core.orders.notices import Notices
from alluse_core.orders.overdue import Overdue
from alluse_core.orders.ownership import Ownership
from alluse_core.orders.pacing import SlidingWindowPacer
from alluse_core.orders.pipeline import Pipeline
from alluse_core.orders.protection import Protection
from alluse_core.orders.reconcile import Reconciler
from alluse_core.orders.records import Kind
from alluse_core.orders.reductions import Reductions
from alluse_core.orders.reports import Reports
from alluse_core.orders.trimming import Trimming
from alluse_core.orders.user_rules import table_with
from alluse_core.orders.view import DefinitionLookup, QuoteLookup
from alluse_core.ports import Broker, OrderStage
from alluse_core.settings import OnMismatch, OrdersMode, OrdersSettings
from alluse_core.telemetry import Registry

_log = logging.getLogger(__name__)


class Parts:
    """What :class:`~alluse_core.orders.service.Orders` is made of; the arguments are its own.

    ``sequences``, ``outboxes`` and ``reconcilers`` hold one for each broker, by its name.
    """

    def __init__(
        self,
        *,
        brokers: Mapping[str, Broker],
        pacers: Mapping[str, SlidingWindowPacer],
        stages: tuple[OrderStage, ...],
        journal: Journal,
        clock: Clock,
        telemetry: Registry,
        settings: OrdersSettings,
        node: NodeIdentity,
        quote: QuoteLookup,
        definition: DefinitionLookup,
        told: Callable[[BaseException], str],
    ) -> None:
        self._settings = settings
        self._pacers = pacers
        self.brokers = brokers
        self.journal = journal
        self.book = Book()
        self.gate = Gate(reconciling=set(brokers))
        self.meters = Meters(telemetry)
        journal.instrument(telemetry)
        self.references = References(settings.reference_prefix, node)
        self.desk = desk = Desk(
            self.book,
            journal,
            clock,
            self.meters,
            self.references,
            self._ask,
            self._page,
            self._named,
            {name: self._breaker(name) for name in brokers},
            self._slower,
            unsure=self._unsure,
            told=told,
        )
        self.background = Background(desk)
        self.archive = Archive(self.book, journal, self.references)
        self.applier = Applier(desk)
        self._make_readers_of_evidence()
        self.sequences = {name: IdSequence(each, self._reserve) for name, each in brokers.items()}
        self.outboxes = {
            name: Outbox(
                broker,
                pacers[name],
                desk,
                self.applier,
                self.sequences[name],
                settings.send_within,
            )
            for name, broker in brokers.items()
        }
        self.intake = Intake(
            desk,
            self.gate,
            self.reports,
            self.fills,
            self.commissions,
            self.notices,
            brokers,
            self.outboxes,
        )
        self._make_ways_in(stages, node, quote, definition)
        self._make_what_looks_after(telemetry, node, quote, definition)

    def _make_readers_of_evidence(self) -> None:
        desk, applier = self.desk, self.applier
        self.ownership = Ownership(desk, applier, self.archive.by_reference)
        reductions = Reductions(desk, applier)
        echoes = Echoes(desk, applier)
        self.reports = Reports(desk, applier, self.ownership, echoes, reductions)
        self.commissions = Commissions(desk, self.archive.get)
        self.adjustments = Adjustments(desk)
        self.fills = Fills(
            desk, applier, self.ownership, self.commissions, self.adjustments, reductions
        )
        table = table_with(self._settings.errors)
        self.notices = Notices(desk, applier, self.ownership, self.reports, table)

    def _make_ways_in(
        self,
        stages: tuple[OrderStage, ...],
        node: NodeIdentity,
        quote: QuoteLookup,
        definition: DefinitionLookup,
    ) -> None:
        desk, settings = self.desk, self._settings
        checks = Checks(stages, desk, self.gate, settings, quote, definition)
        self.pipeline = Pipeline(
            desk,
            checks,
            self.applier,
            self.brokers,
            self.outboxes,
            self.sequences,
            settings,
            node,
            self.archive,
        )
        self.commands = Commands(desk, checks, self.applier, self.brokers, self.outboxes)
        self.control = Control(
            desk,
            self.gate,
            self.commands,
            self.pipeline,
            self.outboxes,
            settings.acknowledge_within,
            shadow=settings.mode is OrdersMode.SHADOW,
        )

    def _make_what_looks_after(
        self,
        telemetry: Registry,
        node: NodeIdentity,
        quote: QuoteLookup,
        definition: DefinitionLookup,
    ) -> None:
        desk, settings = self.desk, self._settings
        self.approval = Approval(desk)
        self.canary = Canary(desk, settings.canary, node.agent, quote)
        self.gate.unapproved = self._unapproved
        self.gate.canary = self.canary.check
        self.gate.unfinished = self.unfinished
        self.pipeline.let_through = self.canary.took
        self.reconcilers = {
            name: Reconciler(
                broker,
                desk,
                self.applier,
                self.reports,
                self.fills,
                self._holdings(broker),
                self.gate,
                settings,
                definition,
                self._learnt,
            )
            for name, broker in self.brokers.items()
        }
        self.overdue = Overdue(desk, settings.acknowledge_within)
        self.trimming = Trimming(desk, self.commands)
        self.protection = Protection(self.book, self.archive.get, self._note_bracket, telemetry)

    def _holdings(self, broker: Broker) -> Holdings:
        return Holdings(
            broker,
            self.desk,
            self.fills,
            self.adjustments,
            self._settings.acknowledge_within,
            self._mismatched,
            self.approval.expected,
        )

    def unfinished(self) -> int:
        """Return how many orders and commands are not durable or have not been sent yet."""
        waiting = self.pipeline.undurable
        for outbox in self.outboxes.values():
            waiting += outbox.depth
        return waiting

    # --- words between the parts ----------------------------------------------------------------

    def _ask(self, broker: str, why: str) -> None:
        _log.info("asking %s for evidence: %s", broker, why)
        if broker in self.reconcilers:
            self.reconcilers[broker].want()

    def _unsure(self, broker: str, why: str) -> None:
        self.gate.reconciling.add(broker)
        self._ask(broker, why)

    def _page(self, reason: str) -> None:
        self.control.page(reason)

    def _named(self, broker: str) -> None:
        # A crash lost the number of an order that is to be cancelled; now the cancel can leave.
        if broker in self.outboxes:
            self.outboxes[broker].resume_deferred()

    def _slower(self, broker: str) -> None:
        pacer = self._pacers[broker]
        if isinstance(pacer, SlidingWindowPacer):
            pacer.back_off()

    def _mismatched(self, reason: str) -> None:
        if self._settings.on_mismatch is OnMismatch.HALT:
            self.control.stop(reason)
        else:
            self.meters.count("pages").value += 1

    def _unapproved(self, broker: str) -> int:
        return len(self.approval.open) or int(broker in self.approval.waiting)

    def _learnt(self, broker: str, carried: Carried, external: Sequence[OrderReport]) -> None:
        self.approval.learnt(broker, carried, external)
        self.protection.compared(broker)

    def _note_bracket(self, entry: LiveOrder, told: Mapping[str, object]) -> None:
        order, row = entry.order, self.journal.scribe.row
        body = {"broker": order.broker, "account": order.account, **told}
        self.journal.append(row(Kind.BRACKET, body, entry.key, entry.ref, entry.state.value))

    def _reserve(self, fields: Mapping[str, int | str]) -> None:
        self.journal.append(self.journal.scribe.row(Kind.IDS, fields))

    def _breaker(self, broker: str) -> Breaker:
        settings = self._settings

        def changed(state: BreakerState, why: str) -> None:
            _log.warning("the breaker of %s is %s: %s", broker, state.value, why)
            self.meters.count("breaker_changes", broker=broker, state=state.value).value += 1
            body = {"action": "breaker", "broker": broker, "breaker": state.value, "reason": why}
            self.journal.append(self.journal.scribe.row(Kind.CONTROL, body))

        return Breaker(
            settings.breaker_failures,
            settings.breaker_window,
            settings.breaker_pause,
            changed,
            settings.breaker_alike,
        )
