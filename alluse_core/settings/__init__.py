"""Settings: TOML, environment and overrides, read strictly, each value knowing its origin."""

from alluse_core.settings.effective import Settings
from alluse_core.settings.strict import is_secret, structure
from alluse_core.settings.tables import (
    CORE_TABLES,
    DEFAULT_STAGES,
    PLUGIN_TABLES,
    AgentSettings,
    AlertsSettings,
    AnalysisSettings,
    CanarySettings,
    ErrorRule,
    HeartbeatSettings,
    MonitorSettings,
    OnMismatch,
    OrdersMode,
    OrdersSettings,
    QuotesSettings,
    ReportSettings,
    RuleClass,
    RuleVerb,
)

__all__ = [
    "CORE_TABLES",
    "DEFAULT_STAGES",
    "PLUGIN_TABLES",
    "AgentSettings",
    "AlertsSettings",
    "AnalysisSettings",
    "CanarySettings",
    "ErrorRule",
    "HeartbeatSettings",
    "MonitorSettings",
    "OnMismatch",
    "OrdersMode",
    "OrdersSettings",
    "QuotesSettings",
    "ReportSettings",
    "RuleClass",
    "RuleVerb",
    "Settings",
    "is_secret",
    "structure",
]
