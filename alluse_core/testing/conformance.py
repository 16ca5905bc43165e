"""What the conformance suites have in common.

A suite is a class of standard tests. A plugin's test subclasses it, names the subclass
``Test...`` and says how to make the object under test::

    class TestAcmeBroker(BrokerConformance):
        def open_broker(self, context): ...

A standard test may be overridden only to mark it ``pytest.mark.xfail`` with a reason, so that a
deviation is visible in every test report.
"""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from alluse_core.clock import Clock, SystemClock
from alluse_core.model import Evidence
from alluse_core.orders import outcomes
from alluse_core.ports import Classify, Priority
from alluse_core.providers import Context, NoSettings
from alluse_core.telemetry import Registry

T = TypeVar("T")


class Conformance:
    """Base of the suites: holds the rule about overriding."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        standard = {
            name
            for base in cls.__mro__[1:]
            if base.__module__.startswith("alluse_core.testing.")
            for name in vars(base)
            if name.startswith("test_")
        }
        for name in standard & set(vars(cls)):
            if not _is_xfail_with_reason(vars(cls)[name]):
                raise TypeError(
                    f"{cls.__name__}.{name} replaces a standard test; it may only be marked"
                    " pytest.mark.xfail(reason=...)"
                )


def _is_xfail_with_reason(test: object) -> bool:
    marks = getattr(test, "pytestmark", ())
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)


class ImmediatePacer:
    """A pacer without a limit, for tests."""

    async def turn(self, priority: Priority, messages: int = 1) -> float:
        """Return at once."""
        return 0.0


def make_context(
    *,
    name: str = "test",
    settings: object = None,
    clock: Clock | None = None,
    telemetry: Registry | None = None,
    evidence: Callable[[Evidence], None] | None = None,
    state_dir: Path | None = None,
    classify: Classify | None = None,
) -> Context:
    """Return a context as the host would make it, with no secrets and no error rules of a user.

    Without a ``state_dir`` it gets a fresh folder, which is removed when the process ends.
    """
    return Context(
        name=name,
        clock=clock or SystemClock(),
        telemetry=telemetry or Registry(),
        settings=NoSettings() if settings is None else settings,
        state_dir=state_dir or _folder(),
        secret=lambda _: None,
        evidence=evidence or (lambda _: None),
        pacer=ImmediatePacer(),
        classify=classify or outcomes.classify,
    )


def _folder() -> Path:
    # Not sooner: what was opened with the context may outlive it and go on using its folder.
    path = Path(tempfile.mkdtemp(prefix="alluse-context-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def run(scenario: Coroutine[Any, Any, T], seconds: float = 60.0) -> T:
    """Run a scenario to its end in a new event loop; a stuck one fails after ``seconds``."""

    async def bounded() -> T:
        async with asyncio.timeout(seconds):
            return await scenario

    return asyncio.run(bounded())
