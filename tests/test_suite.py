"""What the suite does not ask of a machine: to be quick, to be quiet, to be in the foreground."""

from __future__ import annotations

import signal
import time

from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=2)
@given(st.floats(0.0, 0.01))
def test_an_example_may_take_as_long_as_a_machine_stops_a_process(more: float) -> None:
    time.sleep(0.25 + more)


def test_a_suite_in_the_background_listens_to_interrupts_as_the_processes_it_starts_do() -> None:
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
