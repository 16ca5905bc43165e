"""Scenarios: read strictly, drawn from their seed, played in time, and undone by nothing."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest
from alluse_gateway.control import Control
from alluse_gateway.random_faults import random_scenario
from alluse_gateway.scenario import RESERVED, ScenarioError, Span, find, parse, shipped
from alluse_gateway.scenario_text import toml_of
from alluse_gateway.server import SimulatedGateway
from alluse_gateway.step_arguments import STEPS
from gateway_lab import client, library, make_exchange, until

from alluse_core.errors import UsageError

HEAD = 'about = "A test."\n'


def step(text: str) -> str:
    return f"{HEAD}[[step]]\n{text}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("about = ", "not TOML"),
        ("[[step]]\nat = 1\ndo = 'drop'", "'about' is missing"),
        (HEAD, "no [[step]]"),
        (f"{HEAD}abut = 1", "did you mean 'about'"),
        (f"{HEAD}begin = 'listn'\n[[step]]\nat = 1\ndo = 'drop'", "did you mean 'listen'"),
        (f"{HEAD}seed = 1.5\n[[step]]\nat = 1\ndo = 'drop'", "seed is a whole number"),
        (step("at = 1\ndo = 'dorp'"), "step 1: 'dorp' is no step; did you mean 'drop'?"),
        (step("at = 1"), "None is no step"),
        (step("do = 'drop'"), "one of at, every, after"),
        (step("at = 1\nevery = 2\ndo = 'drop'"), "one of at, every, after"),
        (step("at = -1\ndo = 'drop'"), "'at' is a number of seconds"),
        (step("at = true\ndo = 'drop'"), "'at' is a number of seconds"),
        (step("every = 0\ndo = 'drop'"), "'every' is a number of seconds"),
        (step("at = 1\ntimes = 2\ndo = 'drop'"), "'times' goes with"),
        (step("at = 1\ndelay = 2\ndo = 'drop'"), "'delay' goes with 'after'"),
        (step("every = 1\ntimes = 0\ndo = 'drop'"), "'times' is a whole number"),
        (step("at = 1\ndo = 'drop'\nclinet = 1"), "did you mean 'client'"),
        (step("at = 1\ndo = 'drop'\nclient = 'one'"), "client is int, not 'one'"),
        (step("at = 1\ndo = 'drop'\nabort = 1"), "abort is bool, not 1"),
        (step("at = 1\ndo = 'broadcast'"), "the argument 'code' is missing"),
        (step("at = 1\ndo = 'broadcast'\ncode = { any = [1100, 'x'] }"), "not 'x'"),
        (step("at = 1\ndo = 'broadcast'\ncode = { any = [] }"), "neither a value nor a choice"),
        (step("at = 1\ndo = 'latency'\nseconds = { low = 2, high = 1 }"), "nor a choice"),
        (step("at = 1\ndo = 'lose'\nkinds = [1.5]"), "kinds is"),
        (step("after = 'fill'\ndo = 'drop'"), "'after' is a table"),
        (step("after = { event = 'fil' }\ndo = 'drop'"), "did you mean 'fill'"),
        (step("after = { event = 'fill', count = 0 }\ndo = 'drop'"), "'count' is a whole number"),
        (step("after = { event = 'fill', perm = 1 }\ndo = 'drop'"), "step 1, after fill: 'perm'"),
    ],
)
def test_what_is_wrong_with_a_scenario_is_said_with_its_step(text: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse(text, "mine.toml")
    assert "mine.toml" in str(caught.value)
    assert words in str(caught.value)


def test_a_scenario_is_found_by_name_and_by_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(step("at = 1\ndo = 'drop'"), "utf-8")
    assert find(path) == find(str(path))
    assert find("desync").name == "desync"
    with pytest.raises(ScenarioError, match="did you mean 'desync'"):
        find("desnyc")
    with pytest.raises(ScenarioError, match="cannot be read"):
        find(tmp_path / "none.toml")


def test_no_argument_of_a_step_has_a_name_that_says_when() -> None:
    for name in STEPS:
        assert not set(inspect.signature(getattr(Control, name)).parameters) & set(RESERVED), name


def test_every_shipped_scenario_reads_back_from_its_own_toml() -> None:
    for scenario in shipped():
        assert parse(toml_of(scenario), scenario.name) == scenario


def test_random_faults_are_those_of_their_seed_and_read_back_from_their_toml() -> None:
    for seed in range(25):
        scenario = random_scenario(seed, rate=30, seconds=600)
        assert scenario == random_scenario(seed, rate=30, seconds=600)
        assert parse(toml_of(scenario), scenario.name) == scenario
    assert random_scenario(1).steps != random_scenario(2).steps


def test_random_faults_are_of_the_link_of_orders_and_of_the_market() -> None:
    drawn = {step.do for seed in range(5) for step in random_scenario(seed, rate=60).steps}
    assert {"drop", "preset", "split_modifies", "read_only", "competing_session"} <= drawn


def test_the_rate_of_random_faults_is_the_one_asked_for() -> None:
    often, seldom = (len(random_scenario(3, rate).steps) for rate in (60.0, 6.0))
    assert 6 < often / seldom < 15
    assert random_scenario(3, 0.001, 1.0).steps


def play(text: str, seconds: float = 0.3, scale: float = 1.0) -> list[dict[str, Any]]:
    """Return what a scenario injected while a client was connected for ``seconds``."""

    async def story() -> list[dict[str, Any]]:
        scenario = parse(text, "mine")
        exchange = make_exchange()
        async with (
            SimulatedGateway(exchange, scenario=scenario, time_scale=scale) as gateway,
            client("ib_insync", gateway),
        ):
            await asyncio.sleep(seconds)
            return gateway.ledger.of("inject")

    return asyncio.run(asyncio.wait_for(story(), 20))


def test_steps_happen_in_the_order_of_their_times_scaled() -> None:
    text = HEAD + "".join(
        f"[[step]]\nat = {at}\ndo = 'latency'\nseconds = {at}\n" for at in (9.0, 0.0, 5.0)
    )
    done = play(text, scale=0.01)
    assert [each["seconds"] for each in done] == pytest.approx([0.0, 0.05, 0.09])


def test_a_repeated_step_happens_as_often_as_it_says() -> None:
    done = play(step("every = 0.01\ntimes = 3\ndo = 'split'\nsize = { low = 0, high = 90 }"))
    assert len(done) == 3
    again = play(step("every = 0.02\ntimes = 3\ndo = 'split'\nsize = { low = 0, high = 90 }"))
    assert [each["size"] for each in done] == [each["size"] for each in again]


def test_a_step_may_follow_another_and_wait_for_facts() -> None:
    text = (
        step("at = 0.0\ndo = 'split'\nsize = 9")
        + "[[step]]\nafter = { event = 'inject', what = 'split', size = 9 }\n"
        + "do = 'coalesce'\nseconds = 0.0\n"
        + "[[step]]\nafter = { event = 'inject', what = 'split', size = 8 }\ndo = 'drop'\n"
    )
    assert [each["what"] for each in play(text, 0.1)] == ["split", "coalesce"]


def test_a_step_waits_for_the_ledgers_second_order() -> None:
    async def story() -> None:
        text = step("after = { event = 'placed', count = 2 }\ndo = 'drop'")
        async with (
            SimulatedGateway(make_exchange(), scenario=parse(text, "mine")) as gateway,
            client("ib_insync", gateway) as ib,
        ):
            lib = library("ib_insync")
            (contract,) = await ib.qualifyContractsAsync(lib.Stock("AAPL", "SMART", "USD"))
            ib.placeOrder(contract, lib.LimitOrder("BUY", 1, 90.0))
            await until(lambda: gateway.ledger.of("ack"), "the ack")
            assert ib.isConnected()
            ib.placeOrder(contract, lib.LimitOrder("BUY", 1, 90.0))
            await until(lambda: not ib.isConnected(), "the end")
            await until(lambda: gateway.ledger.of("scenario_ended"), "the scenario's end")

    asyncio.run(asyncio.wait_for(story(), 20))


def test_a_step_that_cannot_be_carried_out_is_noted_and_raised_when_the_gateway_stops() -> None:
    async def story() -> None:
        text = step("at = 0.0\ndo = 'manual_order'\nsymbol = 'NOPE'\nside = 'BUY'\nquantity = 1")
        gateway = SimulatedGateway(make_exchange(), scenario=parse(text, "mine"))
        async with gateway, client("ib_insync", gateway):
            await until(lambda: gateway.ledger.of("scenario_failed"), "the note")

    with pytest.raises(UsageError, match="NOPE"):
        asyncio.run(asyncio.wait_for(story(), 20))


def test_a_whole_number_stays_one_when_it_is_drawn() -> None:
    from random import Random

    assert isinstance(Span(1, 9).draw(Random(1)), int)
    assert isinstance(Span(0.1, 0.9).draw(Random(1)), float)
