"""For plugin authors: clocks, fakes and the conformance suites that every port must pass."""

from alluse_core.testing.clock import VirtualClock

__all__ = ["VirtualClock"]
