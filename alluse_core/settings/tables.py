"""The core's own tables of settings, with their defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

import attrs
from attrs.validators import ge, gt, in_, lt, matches_re

from alluse_core.model import OrderState

# The name of a folder: nothing that could lead out of the state folder.
_FOLDER_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"

DEFAULT_STAGES = (
    "reduce_only",
    "max_quantity",
    "max_value",
    "price_collar",
    "message_rate",
    "duplicate_order",
    "stale_quote",
    "position_cap",
    "unknown_cap",
)


@attrs.frozen
class AgentSettings:
    """``[alluse]``: who this is and where its state lives.

    ``state_dir`` holds journals, id floors and leases, by tenant; empty means the user's data
    folder. One name, one state folder: orders bear ``agent``, and an agent takes an order that
    bears its name for its own, known or not. So each agent that trades an account needs a name of
    its own and a ``state_dir`` of its own. Of a name beyond 12 characters, or with others than
    ``A-Z a-z 0-9 _ .``, orders bear the first five and a hash of all of it.
    ``plugins`` lists the distributions that may load (empty: all that are installed).
    """

    tenant: str = attrs.field(default="default", validator=matches_re(_FOLDER_NAME))
    node: str = ""
    agent: str = "agent"
    state_dir: str = ""
    plugins: tuple[str, ...] = ()
    disabled_plugins: tuple[str, ...] = ()


class RuleClass(StrEnum):
    """What a rule of the user's may say of a code; the link is the adapter's own to judge."""

    INFO = "info"
    DEFINITE_REJECT = "definite_reject"
    COMMAND_REJECT = "command_reject"
    HELD = "held"
    NOT_FOUND = "not_found"
    AMBIGUOUS = "ambiguous"
    PACING = "pacing"
    STREAM = "stream"


class RuleVerb(StrEnum):
    """What was in flight for the order that an error names; NONE: it names no order.

    DEFINE and HISTORY are questions about instruments: NONE fits them too.
    """

    PLACE = "place"
    MODIFY = "modify"
    CANCEL = "cancel"
    DEFINE = "define"
    HISTORY = "history"
    NONE = "none"


@attrs.frozen
class ErrorRule:
    """``[[orders.errors]]``: what a code means here, tried before ALL-USE's own table.

    ``text`` must occur in the message, in any case; ``pattern`` is a regular expression found in
    it. ``verbs`` and ``states`` narrow the rule; empty means any. ``reason`` is kept with every
    order that the rule decides about. ``definite_reject`` ends an order by this code alone and
    therefore needs ``certain = true``; where the table takes the code for no proof of an end it
    is refused all the same.
    """

    codes: tuple[int, ...]
    error_class: RuleClass
    reason: str
    text: str = ""
    pattern: str = ""
    verbs: tuple[RuleVerb, ...] = ()
    states: tuple[OrderState, ...] = ()
    certain: bool = False

    def __attrs_post_init__(self) -> None:
        if not self.codes:
            raise ValueError("codes: at least one is needed")
        if not self.reason.strip():
            raise ValueError("reason: say where this is known from")
        if (self.error_class is RuleClass.DEFINITE_REJECT) != self.certain:
            raise ValueError("definite_reject and certain = true belong together")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern: {error}") from None


class OrdersMode(StrEnum):
    """Whether orders are sent. SHADOW: decided and journaled, never sent."""

    SEND = "send"
    SHADOW = "shadow"


class OnMismatch(StrEnum):
    """What to do when a position is not what our fills say: halt, or only tell a person."""

    HALT = "halt"
    PAGE = "page"


@attrs.frozen
class CanarySettings:
    """``[orders.canary]``: caps of a new ``version``, per agent; "" has none.

    They hold from the version's first start until a person lifts them, which is refused before
    so many ``orders`` were sent and ``hours`` are over. A cap of 0 is none: ``max_quantity`` and
    ``max_value`` (in the instrument's currency) of one order, ``max_orders`` of all.
    """

    version: str = ""
    orders: int = attrs.field(default=0, validator=ge(0))
    hours: float = attrs.field(default=0.0, validator=ge(0))
    max_quantity: Decimal = attrs.field(default=Decimal(0), validator=ge(Decimal(0)))
    max_value: Decimal = attrs.field(default=Decimal(0), validator=ge(Decimal(0)))
    max_orders: int = attrs.field(default=0, validator=ge(0))


@attrs.frozen
class OrdersSettings:
    """``[orders]``: the pipeline.

    ``breaker_failures`` orders refused or not answered within ``breaker_window`` stop new risk to
    that broker; after ``breaker_pause`` one order may try (0 failures: never).
    ``breaker_alike`` of them refused for one reason stop it until a person closes the breaker (0:
    never). An order that adds
    risk and could not leave within ``send_within`` is not sent any more (0: it waits for ever); an
    order may bring a ``send_within`` of its own.
    ``stages`` names the order stages that run. Times are seconds. ``stage_budget`` is how long
    the stages of one order may take together before they deny: it is wall time, which a busy
    machine spends too, and is there for a stage that hangs. ``acknowledge_within``: an order
    without any evidence after this long is asked about, and UNKNOWN if that fails.
    ``live_account`` must repeat the account id before an order may go to a live account.
    ``max_unfinished`` bounds orders that wait to be journaled or sent. ``errors`` says what codes
    of the broker's mean here: see the reference of error codes. ``mode`` ``"shadow"`` decides and
    journals and sends no order. ``on_mismatch``: a position that is not what our fills say halts,
    or is only counted and alerted. Differences that a start finds wait for a person's
    approval on a live account, with ``approve_start`` on every account. ``canary``: caps of a new
    version.
    """

    stages: tuple[str, ...] = DEFAULT_STAGES
    default_broker: str = ""
    default_account: str = attrs.field(default="", validator=matches_re(f"({_FOLDER_NAME})?"))
    live_account: str = ""
    reference_prefix: str = "AU"
    stage_budget: float = attrs.field(default=1.0, validator=gt(0))
    acknowledge_within: float = attrs.field(default=10.0, validator=gt(0))
    settle_seconds: float = attrs.field(default=2.0, validator=ge(0))
    reconcile_every: float = attrs.field(default=300.0, validator=gt(0))
    max_unfinished: int = attrs.field(default=10_000, validator=ge(1))
    pacing: bool = True
    breaker_failures: int = attrs.field(default=20, validator=ge(0))
    breaker_alike: int = attrs.field(default=10, validator=ge(0))
    breaker_window: float = attrs.field(default=60.0, validator=gt(0))
    breaker_pause: float = attrs.field(default=30.0, validator=gt(0))
    send_within: float = attrs.field(default=60.0, validator=ge(0))
    mode: OrdersMode = OrdersMode.SEND
    on_mismatch: OnMismatch = OnMismatch.PAGE
    approve_start: bool = False
    canary: CanarySettings = CanarySettings()
    errors: tuple[ErrorRule, ...] = ()


@attrs.frozen
class HeartbeatSettings:
    """``[heartbeat]``: the sign of life that a watchdog watches.

    ``every`` so many seconds it goes into ``heartbeat.json`` of the state folder; 0 turns it off.
    ``port`` serves it on loopback too, to whoever sends the token of ``heartbeat.token``, so that
    another host can watch through a tunnel; 0 serves nothing.
    """

    every: float = attrs.field(default=1.0, validator=ge(0))
    port: int = attrs.field(default=0, validator=[ge(0), lt(65536)])


@attrs.frozen
class QuotesSettings:
    """``[quotes]``: market data. Times are seconds.

    ``max_age`` is what ``get`` takes for fresh where the caller does not say. ``workers`` fetch
    misses. ``ttl`` is an entry's time to live in the cache; ``idle_line`` is how long a line is
    kept after the last read.
    """

    cache: str = "lru"
    workers: int = attrs.field(default=12, validator=ge(1))
    max_age: float = attrs.field(default=1.0, validator=ge(0))
    ttl: float = attrs.field(default=1.0, validator=gt(0))
    timeout: float = attrs.field(default=12.0, validator=gt(0))
    idle_line: float = attrs.field(default=60.0, validator=ge(0))
    broker: str = ""


@attrs.frozen
class MonitorSettings:
    """``[monitor]``: collection of metrics. ``off`` names sources that do not run."""

    store: str = "sqlite"
    period: float = attrs.field(default=1.0, validator=gt(0))
    off: tuple[str, ...] = ()


@attrs.frozen
class AlertsSettings:
    """``[alerts]``: evaluation of rules. ``off`` names rules that do not run."""

    off: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()


@attrs.frozen
class AnalysisSettings:
    """``[analysis]``: ``period`` and ``window`` in seconds, ``off`` names analyzers.

    ``profile`` is ``production`` or ``demo``; the second is labelled wherever it shows.
    """

    period: float = attrs.field(default=60.0, validator=gt(0))
    window: float = attrs.field(default=14_400.0, validator=gt(0))
    off: tuple[str, ...] = ()
    profile: str = attrs.field(default="production", validator=in_(("production", "demo")))


@attrs.frozen
class ReportSettings:
    """``[report]``: ``reporters`` narrows what writes a report; empty means all."""

    reporters: tuple[str, ...] = ()


CORE_TABLES: Mapping[str, type[attrs.AttrsInstance]] = {
    "alluse": AgentSettings,
    "orders": OrdersSettings,
    "heartbeat": HeartbeatSettings,
    "quotes": QuotesSettings,
    "monitor": MonitorSettings,
    "alerts": AlertsSettings,
    "analysis": AnalysisSettings,
    "report": ReportSettings,
}
PLUGIN_TABLES = (
    "brokers",
    "caches",
    "stages",
    "sources",
    "rules",
    "analyzers",
    "stores",
    "notifiers",
    "reporters",
)
"""Tables of tables: ``[stages.max_quantity]`` holds the settings of the provider of that name.

A ``[brokers.NAME]`` table is named by the user and says ``provider = "..."``.
"""
