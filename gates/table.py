"""The parts of the long gates. Counts that are wanted are those of the house's plan."""

from __future__ import annotations

import sys
from collections.abc import Callable

from alluse_sim.planted import BUGS

from gates.part import Part, Turn

_SIM = "plugins/sim/tests"
_SLICES = 16


def _pytest(
    *tests: str, count: str = "", first: str = "", seeded: bool = False, **more: str
) -> Callable[[int, int], Turn]:
    """Return turns of pytest whose environment's ``count`` and ``first`` say what is run.

    ``seeded``: Hypothesis draws from the number of the first step.
    """

    def turn(start: int, steps: int) -> Turn:
        said = dict(more)
        if count:
            said[count] = str(steps)
        if first:
            said[first] = str(start)
        command = [sys.executable, "-m", "pytest", "-q", "--timeout", "0", "--no-header"]
        quiet = ["-p", "no:cacheprovider", "-p", "gates.listener", "--show-capture", "no"]
        seed = [f"--hypothesis-seed={start}"] if seeded else []
        return Turn([*command, *quiet, *seed, *tests], said)

    return turn


def _divided(turn: Callable[[int, int], Turn], by: int) -> Callable[[int, int], Turn]:
    """Return turns for which ``by`` steps are one of the count that the test knows."""
    return lambda first, count: turn(first // by, max(count // by, 1))


def _frames(first: int, count: int) -> Turn:
    fuzz = "plugins/gateway/tests/fuzz_frames.py"
    return Turn([sys.executable, fuzz, "--runs", str(count), "--seed", str(first + 1)])


PARTS: tuple[Part, ...] = (
    Part(
        name="sessions",
        shows="seeded faults in virtual time: none lost, none sent twice, all determined",
        unit="sessions",
        wanted=100_000,
        short=500,
        cost=0.2,
        turn=lambda first, count: Turn(
            [sys.executable, "-m", "gates.sessions", str(first + 1), str(count)]
        ),
        in_one_go=True,
        weight=4,
    ),
    Part(
        name="repeats",
        shows="the same seed plays the same session, in another process with another hash seed",
        unit="seeds",
        wanted=5_000,
        short=50,
        cost=0.3,
        turn=_pytest(
            f"{_SIM}/test_torture.py::test_the_same_seed_plays_the_same_session_in_another_process",
            count="ALLUSE_REPEATS",
            first="ALLUSE_REPEATS_FROM",
        ),
        weight=2,
    ),
    Part(
        name="planted",
        shows="bugs that are planted in the order path are caught",
        unit="bugs",
        slices=1,
        short=len(BUGS),
        cost=60,
        turn=_pytest(f"{_SIM}/test_torture.py::test_a_planted_bug_is_caught", ALLUSE_RAN_TESTS="1"),
    ),
    Part(
        name="museum",
        shows="what others lost, as tests",
        unit="exhibits",
        slices=1,
        short=12,
        cost=20,
        turn=_pytest("tests/museum/test_museum.py", ALLUSE_RAN_TESTS="1"),
        weight=0.5,
    ),
    Part(
        name="scenarios",
        shows="each of the gateway's scenarios with each library: the reaction, and belief",
        unit="scenarios",
        slices=1,
        short=10,
        cost=60,
        turn=_pytest(
            f"{_SIM}/test_scenarios.py::"
            "test_a_scenario_gets_its_documented_reaction_and_nothing_is_lost",
            ALLUSE_SCENARIOS="all",
            ALLUSE_RAN_TESTS="1",
        ),
        weight=0.5,
    ),
    Part(
        name="soak",
        shows="days with nightly restarts, weekly logins, changes of the clocks",
        unit="days",
        wanted=365,
        short=7,
        cost=2.0,
        turn=_pytest(
            f"{_SIM}/test_soak.py::"
            "test_a_week_of_restarts_a_login_and_a_dst_change_leaves_nothing_wrong_or_larger",
            count="ALLUSE_SOAK_DAYS",
        ),
        in_one_go=True,
    ),
    Part(
        name="cuts",
        shows="the connection cut at each byte of each act and of each answer",
        unit="cuts",
        slices=_SLICES,
        short=700,
        cost=60,
        turn=_pytest(
            f"{_SIM}/test_cuts.py::test_a_cut_at_any_byte_loses_no_order_and_sends_none_twice",
            first="ALLUSE_CUT_FROM",
            ALLUSE_CUT_EVERY=str(_SLICES),
        ),
        weight=3,
    ),
    Part(
        name="tcp",
        shows="sessions with faults over real sockets, a real disk and real time",
        unit="sessions",
        wanted=300,
        short=12,
        cost=2.0,
        turn=_pytest(
            "tests/e2e/test_orders_against_the_gateway.py",
            count="ALLUSE_TCP_SESSIONS",
            first="ALLUSE_TCP_FROM",
            ALLUSE_RAN_TESTS="1",
        ),
    ),
    Part(
        name="kills",
        shows="kill -9 of a trading process at any moment; the gateway survives",
        unit="kills",
        wanted=60,
        short=6,
        cost=4.0,
        turn=_pytest(
            "tests/e2e/test_killed_traders.py",
            count="ALLUSE_KILLS",
            first="ALLUSE_KILLS_FROM",
            ALLUSE_RAN_TESTS="1",
        ),
    ),
    Part(
        name="seams",
        shows="kill -9 of a real process at each named seam of each kind of act",
        unit="kills",
        wanted=10_000,
        short=30,
        cost=0.32,
        grain=30,
        turn=_divided(_pytest("tests/e2e/test_killed_at_seams.py", count="ALLUSE_SEAM_ROUNDS"), 30),
        weight=3,
    ),
    Part(
        name="damage",
        shows="the journal's log and anchor damaged at each byte, cut at each length",
        unit="damages",
        slices=_SLICES,
        short=120,
        cost=300,
        turn=_pytest(
            "tests/orders/test_damage.py",
            first="ALLUSE_DAMAGE_FROM",
            ALLUSE_DAMAGE_EVERY=str(_SLICES),
        ),
        weight=2,
    ),
    Part(
        name="power",
        shows="power cuts under a disk that forgets what was not synced",
        unit="cuts",
        wanted=10_000,
        short=200,
        cost=0.03,
        grain=10,
        turn=_pytest(
            "tests/orders/test_power_loss.py::"
            "test_a_power_cut_at_any_moment_loses_nothing_that_was_acknowledged",
            count="ALLUSE_POWER_CUTS",
            first="ALLUSE_POWER_FROM",
        ),
    ),
    Part(
        name="memory",
        shows="ended orders leave memory and stay readable",
        unit="orders",
        wanted=50_000,
        short=800,
        cost=0.01,
        turn=_pytest(
            "tests/orders/test_memory.py::test_ended_orders_leave_memory_and_stay_readable",
            count="ALLUSE_SOAK_ORDERS",
        ),
        in_one_go=True,
    ),
    Part(
        name="replays",
        shows="stories rebuilt from the journal, words doubled and shuffled",
        unit="stories",
        wanted=4_000,
        short=40,
        cost=0.05,
        grain=2,
        turn=_divided(
            _pytest("tests/orders/test_replay.py", count="ALLUSE_REPLAYS", seeded=True), 2
        ),
    ),
    Part(
        name="model",
        shows="stateful model against an oracle, sequences of 100 steps",
        unit="sequences",
        wanted=10_000,
        short=200,
        cost=0.5,
        turn=_pytest(
            "tests/orders/test_model.py::test_what_is_believed_never_contradicts_the_broker",
            count="ALLUSE_MODEL_EXAMPLES",
            seeded=True,
            ALLUSE_MODEL_STEPS="100",
        ),
        weight=4,
    ),
    Part(
        name="frames",
        shows="varied frames at a running gateway: no uncaught error, bounded memory",
        unit="inputs",
        wanted=1_000_000,
        short=0,
        cost=0.001,
        grain=100_000,
        turn=_frames,
    ),
    Part(
        name="noise",
        shows="protobuf messages with anything in their fields",
        unit="messages",
        wanted=80_000,
        short=600,
        cost=0.002,
        grain=4,
        turn=_divided(
            _pytest(
                "plugins/gateway/tests/test_protobuf_noise.py",
                count="ALLUSE_FUZZ_EXAMPLES",
                seeded=True,
            ),
            4,
        ),
    ),
    Part(
        name="mutation",
        shows="small faults in what decides about orders are seen by its tests (95 of 100)",
        unit="mutants",
        slices=1,
        short=0,
        cost=7_200,
        turn=lambda *_: Turn([sys.executable, "tests/mutation/sample.py"]),
        in_one_go=True,
        weight=3,
        patience=900,
        counts=("killed: ", "survived: ", "timed out: ", "equivalent: "),
    ),
)
"""In the order in which they run."""
