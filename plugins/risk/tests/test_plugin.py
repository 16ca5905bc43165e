"""The controls are offered by name and open with their settings and their gauge."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path

import pytest
from alluse_risk import plugin, settings, stages

from alluse_core import Context, Provider
from alluse_core.clock import SystemClock
from alluse_core.ports import StagePhase
from alluse_core.telemetry import Registry
from alluse_core.testing.conformance import ImmediatePacer

OFFERED = {provider.name: provider for provider in plugin.alluse_order_stages()}


def _context(provider: Provider[object], registry: Registry, folder: Path) -> Context:
    return Context(
        provider.name,
        SystemClock(),
        registry,
        provider.settings_type(),
        folder,
        lambda _: None,
        lambda _: None,
        ImmediatePacer(),
    )


@pytest.mark.parametrize("name", sorted(OFFERED))
def test_each_control_opens_under_its_name_with_its_settings(name: str, tmp_path: Path) -> None:
    registry, provider = Registry(), OFFERED[name]
    context = _context(provider, registry, tmp_path)
    stage = provider.open(context)
    assert stage.name == name
    assert provider.help
    if name == "reduce_only":
        assert stage.phase is StagePhase.VALIDATE
        return
    assert stage.phase is StagePhase.RISK
    assert stage.settings is context.settings
    if hasattr(stage, "used"):
        stage.used.value = 40.0
        gauge = registry.gauge("risk_management", "budget_used", "%", control=name)
        assert gauge.value == 40.0


def test_the_budget_is_the_largest_share_of_the_controls_that_measure_one(tmp_path: Path) -> None:
    registry = Registry()
    (provider,) = plugin.alluse_metric_sources()
    source = provider.open(_context(provider, registry, tmp_path))
    assert (provider.name, source.name) == ("risk_budget", "risk_budget")
    assert list(source.collect(0.0)) == []
    measured = [
        name
        for name, each in OFFERED.items()
        if hasattr(each.open(_context(each, registry, tmp_path)), "used")
    ]
    for share, name in enumerate(measured, 1):
        registry.gauge("risk_management", "budget_used", "%", control=name).value = float(share)
        (sample,) = source.collect(0.0)
        assert sample.value == share
    assert sample.series.unit == "%"
    assert not math.isnan(sample.value)


@pytest.mark.parametrize("value", [Decimal(0), Decimal(-1)])
def test_a_limit_must_be_positive(value: Decimal) -> None:
    with pytest.raises(ValueError, match=f"limit must be positive, not {value}"):
        settings.MaxQuantitySettings(limit=value)
    assert stages.UnknownCap(settings.UnknownCapSettings(limit=0)).settings.limit == 0


@pytest.mark.parametrize("name", sorted(OFFERED))
def test_the_page_of_the_settings_tells_what_each_control_is_about(name: str) -> None:
    page = (Path(__file__).parents[3] / "docs/reference/settings.md").read_text("utf-8")
    told = [line for line in page.splitlines() if line.startswith(f"Stage `{name}`: ")]
    assert told == [f"Stage `{name}`: {OFFERED[name].help}."]
