"""What a broker, a cache, a rule ... must be: the Protocols that plugins implement.

Hooks yield providers (:mod:`alluse_core.providers`); a provider opens an object that satisfies
one of these. The conformance suites in :mod:`alluse_core.testing` say in tests what the
docstrings here say in words.
"""

from alluse_core.ports.analysis import (
    Analyzer,
    Frame,
    Reporter,
    ReportRequest,
)
from alluse_core.ports.broker import (
    Broker,
    BrokerCapabilities,
    Classify,
    EvidenceSink,
    OrderMessage,
    Pacer,
    Priority,
    QuoteSink,
    Subscription,
)
from alluse_core.ports.chains import (
    OpenLine,
    OptionChains,
)
from alluse_core.ports.diagnosis import (
    Check,
    Examinable,
    Inquiry,
    Verdict,
)
from alluse_core.ports.monitoring import (
    AlertRule,
    Batch,
    MetricSource,
    MetricStore,
    MetricView,
    Notifier,
)
from alluse_core.ports.orders import (
    ALLOW,
    Decision,
    OrderStage,
    OrderView,
    StagePhase,
    TradingState,
    WorkingOrder,
    deny,
)
from alluse_core.ports.quotes import (
    CacheStats,
    QuoteCache,
)
from alluse_core.ports.seams import (
    Leadership,
)

__all__ = [
    "ALLOW",
    "AlertRule",
    "Analyzer",
    "Batch",
    "Broker",
    "BrokerCapabilities",
    "CacheStats",
    "Check",
    "Classify",
    "Decision",
    "EvidenceSink",
    "Examinable",
    "Frame",
    "Inquiry",
    "Leadership",
    "MetricSource",
    "MetricStore",
    "MetricView",
    "Notifier",
    "OpenLine",
    "OptionChains",
    "OrderMessage",
    "OrderStage",
    "OrderView",
    "Pacer",
    "Priority",
    "QuoteCache",
    "QuoteSink",
    "ReportRequest",
    "Reporter",
    "StagePhase",
    "Subscription",
    "TradingState",
    "Verdict",
    "WorkingOrder",
    "deny",
]
