"""How an agent lives through each shipped gateway scenario, and what must have happened then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import attrs

from alluse_core.errors import UsageError, did_you_mean
from alluse_core.model import Instrument, Order, Side, TimeInForce
from alluse_sim.agent import Agent
from alluse_sim.witness import Witness
from alluse_sim.world import AAPL, World

CALL = Instrument.option("AAPL", date(2026, 6, 19), 95, "C")

_PATIENCE = 120.0
_A_WHILE = 3.0
_TRIES = 20
_AFTER = "kept/after-"
_SUNDAY_MORNING = datetime(2026, 3, 1, 6, 10, tzinfo=UTC)
_JUST_BEFORE = datetime(2026, 3, 2, 14, 29, 56, tzinfo=UTC)
_RESTART = "14:31 UTC"


@attrs.frozen
class Scene:
    """What the acts of a story have in reach."""

    runtime: Any
    agent: Agent
    world: World

    def price(self, away: str) -> Decimal:
        """Return the price of AAPL, and so much more."""
        return Decimal(self.world.prices[AAPL]) / 100 + Decimal(away)

    async def submit(self, order: Order) -> None:
        """Submit an order that the agent leaves alone from then on."""
        await self.agent.submit(self.runtime, order)
        self.agent.keep(order.key)

    async def until(self, true: Callable[[], bool]) -> bool:
        """Wait for something at most two minutes; return whether it came."""
        for _ in range(int(_PATIENCE / 0.05)):
            if true():
                return True
            await asyncio.sleep(0.05)
        return False


Act = Callable[[Scene], Coroutine[Any, Any, None]]
Reaction = tuple[str, Callable[[Witness], bool]]
"""What must have happened, in words, and whether it did."""


@attrs.frozen
class Story:
    """One scenario, played with an agent.

    ``opening`` comes before the agent trades as it likes, ``closing`` when the scenario is over.
    It trades for ``seconds`` at least, and until the scenario has ended where it ``ends``.
    ``listed`` has more instruments with their price in cents; with ``hours`` the exchange closes.
    ``began`` is the wall clock's time of second 0, ``broker`` are settings of the login.
    ``excesses`` over the message rate are allowed, where that is lowered without a word.
    """

    scenario: str
    reactions: Sequence[Reaction]
    opening: Act
    closing: Act
    time_scale: float = 1.0
    seconds: float = 0.0
    ends: bool = True
    changes: bool = True
    hours: bool = False
    listed: Mapping[Instrument, int] = MappingProxyType({})
    began: datetime | None = None
    broker: Mapping[str, Any] = MappingProxyType({})
    excesses: int = 0


def find(name: str) -> Story:
    """Return the story of a scenario. Raises UsageError for a name that has none."""
    if name not in STORIES:
        known = sorted(STORIES)
        raise UsageError(f"scenario {name!r} is not among {known}{did_you_mean(name, known)}")
    return STORIES[name]


# --- acts -----------------------------------------------------------------------------------------


async def _nothing(_: Scene) -> None:
    """Trade as in any session."""


async def _protected(scene: Scene) -> None:
    """Hold a position with a stop that rests at the broker."""
    await scene.submit(Order.market(AAPL, Side.BUY, 10, key="kept/entry"))
    await scene.until(lambda: bool(scene.world.ledger.of("fill")))
    stop = Order.stop(
        AAPL, Side.SELL, 10, scene.price("-30"), key="kept/stop", time_in_force=TimeInForce.GTC
    )
    await scene.submit(stop)


async def _resting(scene: Scene) -> None:
    """Rest an order that will fill as soon as the price falls a little."""
    await scene.submit(Order.limit(AAPL, Side.BUY, 10, scene.price("-0.01"), key="kept/near"))


async def _writing(scene: Scene) -> None:
    """Sell an option first."""
    await scene.runtime.brokers["main"].define(CALL)
    await scene.submit(Order.market(CALL, Side.SELL, 2, key="kept/short"))
    await scene.until(lambda: bool(scene.world.ledger.of("fill")))


async def _far(scene: Scene) -> None:
    """Rest an order that nothing fills."""
    order = Order.limit(
        AAPL, Side.BUY, 10, scene.price("-20"), key="kept/far", time_in_force=TimeInForce.GTC
    )
    await scene.submit(order)


async def _changing(scene: Scene) -> None:
    """Change that order once the link is back, and cancel it when it has become two.

    One of the two cannot be named by the API any more: a person ends it in TWS.
    """
    world, orders = scene.world, scene.runtime.orders
    await scene.until(lambda: not orders.reconciling)
    scene.agent.modifies["kept/far"] = 1
    await orders.modify("kept/far", limit_price=scene.price("-19"))
    await scene.until(lambda: "lives twice" in orders.reason)
    await orders.cancel("kept/far")
    await scene.until(lambda: bool(world.ledger.of("canceled")))
    await asyncio.sleep(_A_WHILE)
    if not orders.get("kept/far").known.settled:
        world.exchange.cancel(world.ledger.of("split")[0]["old_perm_id"], "by a person in TWS")
    await scene.until(lambda: orders.get("kept/far").known.settled)
    await orders.resume("the simulation")


async def _working(scene: Scene) -> None:
    """Leave day orders with the broker, far from the price."""
    for number in range(3):
        order = Order.limit(AAPL, Side.BUY, 10, scene.price("-15"), key=f"kept/day-{number}")
        await scene.submit(order)


async def _retried(scene: Scene) -> None:
    """Trade again when all is over, as soon as gates and breaker allow it; it must find its way."""
    await scene.until(lambda: not scene.runtime.orders.reconciling)
    if scene.runtime.orders.reason:
        await scene.runtime.orders.resume("the simulation")
    for number in range(_TRIES):
        order = Order.market(AAPL, Side.BUY, 5, key=f"{_AFTER}{number}")
        await scene.submit(order)
        if order.key in scene.agent.kept:
            await scene.until(lambda key=order.key: scene.runtime.orders.get(key).known.settled)  # type: ignore[misc]
            return
        await asyncio.sleep(_A_WHILE)


# --- reactions ------------------------------------------------------------------------------------

_TRADES_ON: Reaction = (
    "trades again afterwards",
    lambda w: any(key.startswith(_AFTER) and state == "FILLED" for key, state in w.states.items()),
)
_GATED: Reaction = ("new risk was denied meanwhile", lambda w: w.denied("link", "reconciling") > 0)
_DEGRADED: Reaction = ("1100 gated new risk", lambda w: "degraded" in w.links)
_DOWN: Reaction = ("the loss of the link was told", lambda w: "down" in w.links)
_ASKED: Reaction = (
    "the broker was asked for evidence anew",
    lambda w: w.count("reconciliations") > 1,
)
_PROTECTED: Reaction = (
    "the stop stayed with the broker all along",
    lambda w: w.states.get("kept/stop") == "ACCEPTED" and not w.cancels_of("kept/stop"),
)
_SAME_SOCKET: Reaction = ("the sockets were kept", lambda w: w.count("connects") == w.connections)
_NEW_SOCKET: Reaction = (
    "the order connection was made anew",
    lambda w: w.count("connects", role="orders") > 1,
)
_AGED: Reaction = ("quotes went stale meanwhile", lambda w: w.stale > 0)
_FRESH: Reaction = ("quotes are fresh at the end", lambda w: w.fresh_at_end)
_RESUBSCRIBED: Reaction = ("streams were asked for again", lambda w: w.count("resubscriptions") > 0)


def _paged(*words: str) -> Reaction:
    text = f"a person was paged: {' '.join(words)}"
    return text, lambda w: any(all(word in page for word in words) for page in w.pages)


def _adjusted(cause: str) -> Reaction:
    return f"an ADJUSTMENT by {cause} was journaled", lambda w: cause in w.adjustments


def _window(word: str) -> Reaction:
    return (
        f"new risk was gated by {word!r}",
        lambda w: any(word in reason for reason in w.links.get("gated", ())),
    )


_LIST = (
    Story(
        "1100-with-fills",
        (
            _DEGRADED,
            _GATED,
            _ASKED,
            _SAME_SOCKET,
            ("a fill in the dark", lambda w: w.dark_fills > 0),
        ),
        _resting,
        _retried,
        time_scale=0.5,
    ),
    Story(
        "assignment",
        (_adjusted("assignment"), _paged("assign"), _TRADES_ON),
        _writing,
        _retried,
        listed={CALL: 700},
        seconds=15.0,
    ),
    Story(
        "black-hole",
        (_DOWN, _GATED, _NEW_SOCKET, _PROTECTED, _TRADES_ON),
        _protected,
        _retried,
        time_scale=0.3,
    ),
    Story(
        "competing-session",
        (_paged("10197"), _paged("326"), _AGED, _RESUBSCRIBED, _FRESH, _TRADES_ON),
        _protected,
        _retried,
        broker={"client_id": 1, "client_id_patience": 0.05},
    ),
    Story("desync", (_DOWN, _NEW_SOCKET, _ASKED, _TRADES_ON), _nothing, _retried, seconds=10.0),
    Story(
        "early-close",
        (
            (
                "day orders ran out, unasked",
                lambda w: all(
                    w.states.get(f"kept/day-{n}") in ("EXPIRED", "CANCELED")
                    and not w.cancels_of(f"kept/day-{n}")
                    for n in range(3)
                ),
            ),
        ),
        _working,
        _nothing,
        seconds=150.0,
        hours=True,
    ),
    Story(
        "farm-flap",
        (_AGED, _FRESH, _SAME_SOCKET, _TRADES_ON),
        _nothing,
        _retried,
        time_scale=0.5,
    ),
    Story(
        "halt",
        (("quotes said that it is halted", lambda w: w.halted > 0), _TRADES_ON),
        _far,
        _retried,
        time_scale=0.02,
    ),
    Story(
        "id-rollback",
        (_DOWN, _NEW_SOCKET, _ASKED, _TRADES_ON),
        _protected,
        _retried,
        time_scale=0.2,
    ),
    Story(
        "liquidation",
        (_paged("closed"), _adjusted("liquidation"), _TRADES_ON),
        _protected,
        _retried,
        seconds=15.0,
    ),
    Story(
        "nightly-restart",
        (_DEGRADED, _DOWN, _GATED, _window("restart of TWS"), _PROTECTED, _FRESH, _TRADES_ON),
        _protected,
        _retried,
        seconds=372.0,
        began=_JUST_BEFORE,
        broker={"restart_at": _RESTART, "reconnect_max": 2.0},
    ),
    Story(
        "pacing-kill",
        (_NEW_SOCKET, _ASKED, _PROTECTED, _TRADES_ON),
        _protected,
        _retried,
        seconds=30.0,
        excesses=4,
    ),
    Story(
        "preset-change",
        (("the echo's difference was seen", lambda w: w.echoes > 0), _TRADES_ON),
        _far,
        _retried,
        seconds=10.0,
    ),
    Story(
        "slow-acks",
        (_ASKED, _SAME_SOCKET, _TRADES_ON),
        _nothing,
        _retried,
        seconds=40.0,
        ends=False,
    ),
    Story(
        "split-frames",
        (
            _SAME_SOCKET,
            ("every message was read", lambda w: not w.count("decode_errors")),
            _TRADES_ON,
        ),
        _nothing,
        _retried,
        seconds=20.0,
        ends=False,
    ),
    Story(
        "two-permids",
        (
            ("both permIds were tracked", lambda w: w.count("second_perm_ids") == 1),
            ("it ended with the last of both", lambda w: w.states.get("kept/far") == "CANCELED"),
            _paged("permId"),
        ),
        _far,
        _changing,
        time_scale=0.3,
        changes=False,
    ),
    Story(
        "weekly-login",
        (
            _DEGRADED,
            _DOWN,
            _GATED,
            ("the weekly login was called for", lambda w: w.peak("weekly_login_due") == 1),
            _PROTECTED,
            _RESUBSCRIBED,
            _FRESH,
            _TRADES_ON,
        ),
        _protected,
        _retried,
        time_scale=0.25,
        began=_SUNDAY_MORNING,
        broker={"reconnect_max": 5.0},
    ),
)

STORIES: Mapping[str, Story] = MappingProxyType({story.scenario: story for story in _LIST})
"""Every shipped scenario."""
