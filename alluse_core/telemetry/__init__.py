"""Counters, gauges and histograms of the running code."""

from alluse_core.telemetry.histogram import Histogram
from alluse_core.telemetry.registry import Counter, Gauge, Registry, Timer

__all__ = ["Counter", "Gauge", "Histogram", "Registry", "Timer"]
