"""For plugin authors: clocks, fakes and the conformance suites that every port must pass."""

from alluse_core.testing.clock import VirtualClock
from alluse_core.testing.conformance import Conformance, ImmediatePacer, make_context
from alluse_core.testing.conformance_alert_rule import AlertRuleConformance, NoMetrics
from alluse_core.testing.conformance_analyzer import AnalyzerConformance, make_frame
from alluse_core.testing.conformance_broker import BrokerConformance, Desk
from alluse_core.testing.conformance_cache import QuoteCacheConformance
from alluse_core.testing.conformance_metric_source import MetricSourceConformance

__all__ = [
    "AlertRuleConformance",
    "AnalyzerConformance",
    "BrokerConformance",
    "Conformance",
    "Desk",
    "ImmediatePacer",
    "MetricSourceConformance",
    "NoMetrics",
    "QuoteCacheConformance",
    "VirtualClock",
    "make_context",
    "make_frame",
]
