"""Runs a standard suite as a function, for tests that it can fail."""

from __future__ import annotations

from unittest import SkipTest

from alluse_core.testing import (
    Conformance,
)


def failures(suite: Conformance) -> set[str]:
    """Run every standard test of ``suite`` and return the names of those that fail."""
    failed = set()
    for name in dir(suite):
        if name.startswith("test_"):
            try:
                getattr(suite, name)()
            except SkipTest:
                continue
            except Exception:  # noqa: BLE001  a standard test may fail in any way
                failed.add(name)
    return failed
