"""What a session is made of; one number decides all of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import attrs

from alluse_sim.faults import CLIENT, FAULTS, NEWS
from alluse_sim.stories import Story, find

ORDERS = 75
LIBRARIES = ("ib_insync", "ib_async")
_KINDS = 3
_ORDERS_IN_A_SCENARIO = 60


@attrs.frozen
class Plan:
    """One session. ``faults`` strike in turn, spread over ``acts`` acts of the agent.

    ``restarts`` are orderly ones; kills are faults. ``disk_seconds`` is how long the journal's
    batches take; at batch ``kill_at_batch`` the process dies, with its records on disk
    (``kill_after``) or not. ``cap`` is the position limit in units; 0: none. ``scenario`` names one
    of the gateway's own, which is played then; it has faults enough. ``brackets`` is the share of
    acts that submit a bracket or cancel an exit, beside those that do so anyway. ``stops``: the
    agent also halts, flattens and resumes, gives up calls that it waits for, and flattens at last.
    """

    seed: int
    faults: Sequence[str] = ()
    orders: int = ORDERS
    restarts: int = 0
    library: str = LIBRARIES[0]
    disk_seconds: float = 0.0
    kill_at_batch: int = 0
    kill_after: bool = False
    cap: int = 0
    heal_within: float = 30.0
    scenario: str = ""
    brackets: float = 0.0
    stops: bool = False

    @classmethod
    def through(cls, scenario: str, library: str = LIBRARIES[0], seed: int = 1) -> Plan:
        """Return the session that plays a shipped gateway scenario. Raises UsageError."""
        return cls(
            seed, orders=_ORDERS_IN_A_SCENARIO, library=library, scenario=find(scenario).scenario
        )

    @property
    def story(self) -> Story | None:
        """How the agent lives through the scenario, where there is one."""
        return find(self.scenario) if self.scenario else None

    @classmethod
    def draw(cls, seed: int, **fixed: Any) -> Plan:
        """Return the session of a seed; what is given in ``fixed`` stays as given.

        It has three to eight faults, of three kinds at least.
        """
        dice = random.Random(f"plan {seed}")
        kinds = dice.sample(sorted(set(FAULTS) - set(NEWS)), dice.randint(_KINDS, 5))
        faults = (*kinds, *(dice.choice(kinds) for _ in range(dice.randint(0, 2))))
        drawn: dict[str, Any] = {
            "faults": _with_news(seed, dice.sample(faults, len(faults))),
            "restarts": int(dice.random() < 0.2),
            "library": dice.choice(LIBRARIES),
            "disk_seconds": dice.choice((0.0, 0.0, 0.001, 0.02)),
            "kill_at_batch": dice.randrange(2, 90) if dice.random() < 0.2 else 0,
            "kill_after": dice.random() < 0.5,
            "cap": dice.choice((0, 0, 300, 1000)),
            "stops": _stops(seed),
        }
        # A trade by hand may go beyond a cap that holds for the runtime's own orders.
        if "by-hand" in drawn["faults"]:
            drawn["cap"] = 0
        return cls(seed, **{**drawn, **fixed})

    def settings(self, port: int) -> dict[str, Any]:
        """Return settings that notice and ask quickly."""
        stages: dict[str, Any] = {"position_cap": {"limit": self.cap}} if self.cap else {}
        return {
            "alluse": {"plugins": ["alluse-ibkr", "alluse-cache", "alluse-risk"], "node": "sim"},
            "brokers": {
                "main": {
                    "provider": "ibkr",
                    "library": self.library,
                    "port": port,
                    "client_id": CLIENT,
                    "connect_timeout": 1.0,
                    "request_timeout": 0.8,
                    "heartbeat": 0.5,
                    "reconnect_min": 0.02,
                    "reconnect_max": 0.2,
                    **(self.story.broker if self.story is not None else {}),
                }
            },
            "stages": stages,
            "monitor": {"store": "forgetful"},
            "orders": {
                "stages": list(stages),
                "acknowledge_within": 1.0,
                "settle_seconds": 0.2,
                # A scenario's minutes are quiet for the most part.
                "reconcile_every": 10.0 if self.scenario else 1.5,
            },
        }


def _with_news(seed: int, faults: list[str]) -> tuple[str, ...]:
    # Dice of its own: what a seed stood for before there were these faults stays as it was.
    dice = random.Random(f"news {seed}")
    if dice.random() < 1 / 3:
        faults.insert(dice.randint(0, len(faults)), dice.choice(NEWS))
    return tuple(faults)


def _stops(seed: int) -> bool:
    # Dice of its own, as the news has: every fifth session is one of them.
    return random.Random(f"stops {seed}").random() < 1 / 5
