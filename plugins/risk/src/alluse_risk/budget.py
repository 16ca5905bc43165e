"""The share of the limits that is in use, over all controls."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from alluse_core.model import Sample, SeriesId
from alluse_core.telemetry import Gauge

COMPONENT = "risk_management"
BUDGET_USED = "budget_used"


class RiskBudget:
    """A metric source: ``risk_management.budget_used_max`` in %.

    It is the largest share of a limit that the newest decision of any control used; absent while
    no control has decided anything.
    """

    name = "risk_budget"
    period = 1.0

    def __init__(self, used: Mapping[str, Gauge]) -> None:
        self._used = dict(used)

    def collect(self, now: float) -> Iterator[Sample]:
        """Yield the maximum."""
        known = [gauge.value for gauge in self._used.values() if not math.isnan(gauge.value)]
        if known:
            yield Sample(SeriesId(COMPONENT, "budget_used_max", (), "%"), max(known))
