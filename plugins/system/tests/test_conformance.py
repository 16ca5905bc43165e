from __future__ import annotations

import pytest
from alluse_system.plugin import alluse_metric_sources

from alluse_core.ports import MetricSource
from alluse_core.testing import MetricSourceConformance, make_context

_OFFERED = {provider.name: provider for provider in alluse_metric_sources()}


@pytest.mark.parametrize("name", list(_OFFERED))
class TestSources(MetricSourceConformance):
    @pytest.fixture(autouse=True)
    def choose(self, name: str) -> None:
        self.name = name

    def make_source(self) -> MetricSource:
        return _OFFERED[self.name].open(make_context())
