"""Every scenario that the gateway ships, lived through: the reaction, and belief equal to truth.

Libraries take turns; ``ALLUSE_SCENARIOS=all`` plays each scenario with each of them.
"""

from __future__ import annotations

import os

import pytest
from alluse_gateway.scenario import shipped
from alluse_sim.plan import LIBRARIES, Plan
from alluse_sim.session import simulate
from alluse_sim.stories import STORIES, find

from alluse_core.errors import UsageError

ALL = os.environ.get("ALLUSE_SCENARIOS") == "all"
SESSIONS = [
    (name, library)
    for place, name in enumerate(STORIES)
    for turn, library in enumerate(LIBRARIES)
    if ALL or place % len(LIBRARIES) == turn
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "library"), SESSIONS)
def test_a_scenario_gets_its_documented_reaction_and_nothing_is_lost(
    name: str, library: str
) -> None:
    result = simulate(Plan.through(name, library))
    assert not result.problems, "\n".join(result.problems)
    assert result.sent > 3, "a scenario in which nothing is sent shows nothing"


def test_every_shipped_scenario_has_a_story_with_reactions() -> None:
    assert set(STORIES) == {scenario.name for scenario in shipped()}
    assert all(story.reactions for story in STORIES.values())


def test_a_scenario_that_does_not_exist_is_named_with_its_neighbour() -> None:
    with pytest.raises(UsageError, match="early-close"):
        find("early-clos")


def test_a_missing_reaction_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alluse_core.orders.control.Control.page", lambda *_: None)
    result = simulate(Plan.through("liquidation"))
    assert any("paged" in problem for problem in result.problems)
