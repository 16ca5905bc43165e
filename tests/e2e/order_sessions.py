"""Sessions of a trading agent against a gateway with faults; one seed decides what both do."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
from alluse_gateway.rate import Excess, MessageRate
from alluse_gateway.server import SimulatedGateway
from alluse_gateway.session import Session
from alluse_paper.exchange import Exchange
from alluse_paper.fill_model import FillModel
from alluse_paper.market import Listing, QuoteEvent
from alluse_sim.checker import Asked, Belief, Believed, compare

import alluse_core
from alluse_core import Instrument, Order, OrderGroup, Side
from alluse_core.clock import SystemClock
from alluse_core.errors import AllUseError, BrokerError, OrderDenied, OrderError
from alluse_core.model import GroupKind, TimeInForce
from alluse_core.orders.journal import JournalReader, verify

AAPL, MSFT = Instrument.stock("AAPL"), Instrument.stock("MSFT")
CLIENT = 17
HEALED_WITHIN = 20.0


# --- the gateway ---------------------------------------------------------------------------------


class SharedRate(MessageRate):
    """Counts into the connection's own window and into one that all connections share."""

    def __init__(self, limit: int, shared: MessageRate) -> None:
        super().__init__(limit)
        self._shared = shared

    def message(self, now: float) -> Excess | None:
        # The first message of a connection is startApi, whose handshake waits for nobody.
        if self.total:
            self._shared.message(now)
        return super().message(now)


class Venue(SimulatedGateway):
    """The gateway with a market that a session moves, and one rate over all its connections."""

    def __init__(self, seed: int) -> None:
        model = FillModel(latency_ms=2, queue=False, enforce_hours=False, check_margin=False)
        listings = [Listing.of(AAPL, primary_exchange="NASDAQ"), Listing.of(MSFT)]
        exchange = Exchange(SystemClock(), listings, fill_model=model, seed=seed)
        super().__init__(exchange, seed=seed, sampling=0)
        self.shared_rate = MessageRate(0)
        self.prices = {AAPL: 10_000, MSFT: 30_000}
        for instrument in self.prices:
            self.show(instrument)

    def new_session(self) -> Session:
        session = super().new_session()
        session.rate = SharedRate(self.rate_limit, self.shared_rate)
        return session

    def show(self, instrument: Instrument, change: int = 0) -> None:
        """Move an instrument's price by cents and show it."""
        self.prices[instrument] += change
        bid = self.prices[instrument] / 100
        self.exchange.on_market(
            QuoteEvent(instrument, 1_700_000_000.0, bid, 900, round(bid + 0.02, 2), 900)
        )


# --- the agent -----------------------------------------------------------------------------------


class Agent:
    """Submits, changes and cancels orders, and remembers what it was told."""

    def __init__(self, seed: int, venue: Venue) -> None:
        self.taken: set[str] = set()
        self.denied: set[str] = set()
        self.modifies: dict[str, int] = {}
        self.dice = random.Random(seed)
        self._seed = seed
        self._venue = venue
        self._count = 0

    def key(self) -> str:
        self._count += 1
        return f"seed-{self._seed}/{self._count}"

    def order(self, key: str | None = None) -> Order:
        """Return an order: market, or a limit around the price."""
        dice = self.dice
        instrument = dice.choice((AAPL, MSFT))
        side = dice.choice((Side.BUY, Side.SELL))
        quantity = dice.randint(1, 20) * 5
        key = key or self.key()
        if dice.random() < 0.3:
            return Order.market(instrument, side, quantity, key=key)
        away = dice.choice((-10, 0, 3, 8, 40, 400)) * -side.sign
        price = Decimal(self._venue.prices[instrument] + away) / 100
        tif = dice.choice((TimeInForce.DAY, TimeInForce.GTC))
        return Order.limit(instrument, side, quantity, price, key=key, time_in_force=tif)

    def bracket(self) -> OrderGroup:
        dice, key = self.dice, self.key()
        price = Decimal(self._venue.prices[AAPL]) / 100
        entry = Order.limit(AAPL, Side.BUY, 10, price + Decimal("0.02"), key=f"{key}/entry")
        take = Order.limit(
            AAPL, Side.SELL, 10, price + dice.choice((Decimal("0.05"), 3)), key=f"{key}/take"
        )
        stop = Order.stop(AAPL, Side.SELL, 10, price - 3, key=f"{key}/stop")
        return OrderGroup(GroupKind.BRACKET, key, (entry, take, stop))

    def oca(self) -> OrderGroup:
        key = self.key()
        price = Decimal(self._venue.prices[MSFT]) / 100
        orders = tuple(
            Order.limit(MSFT, Side.BUY, 10, price - away, key=f"{key}/{place}")
            for place, away in enumerate((Decimal("0.03"), Decimal("0.08"), Decimal(2)))
        )
        return OrderGroup(GroupKind.OCA, key, orders)

    async def submit(self, runtime: Any, intent: Order | OrderGroup) -> None:
        keys = [intent.key] if isinstance(intent, Order) else [each.key for each in intent.orders]
        try:
            await runtime.orders.submit(intent)
        except OrderDenied:
            self.denied.update(keys)
        else:
            self.taken.update(keys)

    async def act(self, runtime: Any) -> None:
        """Do one thing."""
        dice, orders = self.dice, runtime.orders
        what = dice.random()
        if what < 0.50:
            await self.submit(runtime, self.order())
        elif what < 0.58:
            await self.submit(runtime, self.bracket() if dice.random() < 0.5 else self.oca())
        elif what < 0.66:
            # The same key at the same time, and again later: one order.
            order = self.order()
            await asyncio.gather(*(self.submit(runtime, order) for _ in range(3)))
            await self.submit(runtime, order)
        elif what < 0.72:
            order = self.order()
            sent = asyncio.create_task(self.submit(runtime, order))
            await asyncio.sleep(dice.choice((0, 0, 0.002)))
            await self._try_cancel(orders, order.key)
            await sent
        elif self.taken:
            key = dice.choice(sorted(self.taken))
            if what < 0.86:
                await self._try_cancel(orders, key)
            else:
                await self._try_modify(orders, key)

    async def burst(self, runtime: Any, count: int) -> None:
        """Submit many orders in one turn of the loop."""
        await asyncio.gather(*(self.submit(runtime, self.order()) for _ in range(count)))

    async def _try_cancel(self, orders: Any, key: str) -> None:
        with contextlib.suppress(OrderError):
            await orders.cancel(key)

    async def _try_modify(self, orders: Any, key: str) -> None:
        order = orders.get(key).order
        changes: dict[str, Any] = {"quantity": order.quantity + 5}
        if order.limit_price is not None and self.dice.random() < 0.7:
            changes = {"limit_price": order.limit_price + Decimal("0.01") * order.side.sign}
        # Counted first: the message may leave before the call returns.
        self.modifies[key] = self.modifies.get(key, 0) + 1
        try:
            await orders.modify(key, **changes)
        except OrderError:
            self.modifies[key] -= 1


# --- the faults ----------------------------------------------------------------------------------

Fault = Callable[[Venue, random.Random], Awaitable[None]]


async def cut(venue: Venue, dice: random.Random) -> None:
    await asyncio.sleep(dice.uniform(0, 0.05))
    venue.control.drop(dice.choice((None, CLIENT)), abort=dice.random() < 0.5)


async def half_open(venue: Venue, dice: random.Random) -> None:
    """Freeze sockets; their client ids stay taken (error 326) until the gateway lets go."""
    venue.control.half_open(dice.choice((None, CLIENT)))
    await asyncio.sleep(dice.uniform(0.2, 1.5))
    let_go(venue)


def let_go(venue: Venue) -> None:
    """End the sockets that are half open, as keep-alive does in the end."""
    for connection in tuple(venue.sessions):
        if connection.half_open:
            connection.abort("the peer does not answer")


async def late_acks(venue: Venue, dice: random.Random) -> None:
    venue.control.delay_acks(dice.uniform(0.02, 0.6))
    await asyncio.sleep(0.5)
    venue.control.delay_acks(0)


async def slow(venue: Venue, dice: random.Random) -> None:
    venue.control.latency(dice.uniform(0.01, 0.2))
    await asyncio.sleep(0.4)
    venue.control.latency(0)


async def mute(venue: Venue, dice: random.Random) -> None:
    """Lose orderStatus, errors, openOrder, execDetails, or what answers the questions."""
    venue.control.mute([dice.choice((3, 4, 5, 11, 53, 55, 59, 61, 101, 102))])
    await asyncio.sleep(dice.uniform(0.1, 0.9))
    venue.control.mute([])


async def mute_fills(venue: Venue, dice: random.Random) -> None:
    """Lose what is told of fills, then the connection: only the questions can tell."""
    venue.control.mute([11])
    await asyncio.sleep(0.4)
    venue.control.drop(CLIENT, abort=True)
    venue.control.mute([])


async def babble(venue: Venue, dice: random.Random) -> None:
    """Name live orders in errors that end none of them."""
    for booked in venue.orders.book:
        for connection in venue.sessions:
            if booked.alive and connection.client_id == booked.client_id:
                connection.error(booked.order_id, dice.choice((10349, 399, 161)), "a remark")


async def reject(venue: Venue, dice: random.Random) -> None:
    venue.control.reject(dice.randint(1, 3), dice.choice((201, 110, 321)))
    await asyncio.sleep(0.2)
    venue.control.reject(0)


async def partial(venue: Venue, dice: random.Random) -> None:
    venue.control.partial_fills(dice.randint(2, 6), dice.choice(("0.2", "0.5")))


async def outage(venue: Venue, dice: random.Random) -> None:
    """Lose the uplink while the market fills what rests there."""
    venue.control.broadcast(1100)
    await asyncio.sleep(dice.uniform(0.02, 0.2))
    for instrument in (AAPL, MSFT):
        for change in (30, -60, 30):
            venue.show(instrument, change)
            await asyncio.sleep(0.01)
    if dice.random() < 0.3:
        venue.control.drop(CLIENT)
        await asyncio.sleep(0.2)
    await asyncio.sleep(dice.uniform(0.05, 0.4))
    venue.control.broadcast(dice.choice((1101, 1102)))


async def roll_back(venue: Venue, dice: random.Random) -> None:
    venue.control.next_order_id(CLIENT, dice.randint(1, 6))
    venue.control.drop()


async def deaf(venue: Venue, dice: random.Random) -> None:
    await venue.control.pause_listening()
    venue.control.drop(abort=dice.random() < 0.5)
    await asyncio.sleep(dice.uniform(0.1, 0.5))
    await venue.control.resume_listening()


async def by_hand(venue: Venue, dice: random.Random) -> None:
    venue.control.manual_order("AAPL", dice.choice(("BUY", "SELL")), 7)


FAULTS: tuple[Fault, ...] = (
    cut,
    cut,
    cut,
    half_open,
    late_acks,
    slow,
    mute,
    mute,
    mute,
    reject,
    partial,
    outage,
    outage,
    roll_back,
    deaf,
    by_hand,
)


async def heal(venue: Venue) -> None:
    """End every fault."""
    control = venue.control
    let_go(venue)
    control.mute([])
    control.delay_acks(0)
    control.latency(0)
    control.reject(0)
    control.partial_fills(0)
    await control.resume_listening()
    if venue.faults.link_lost:
        control.broadcast(1102)


# --- a session -----------------------------------------------------------------------------------


@attrs.frozen
class Result:
    """How a session ended. ``problems`` is empty where the promise held."""

    seed: int
    problems: Sequence[str]
    orders: int
    sent: int
    fills: int
    faults: Sequence[str]
    peak: int
    states: dict[str, int]
    seconds: float

    def __str__(self) -> str:
        told = "\n  ".join(self.problems)
        return f"seed {self.seed} (faults: {', '.join(self.faults)}):\n  {told}"


def settings(port: int, **orders: Any) -> dict[str, Any]:
    """Return settings that notice and ask quickly."""
    return {
        "alluse": {"plugins": ["alluse-ibkr", "alluse-cache"]},
        "brokers": {
            "main": {
                "provider": "ibkr",
                "port": port,
                "client_id": CLIENT,
                "connect_timeout": 1.0,
                "request_timeout": 0.8,
                "heartbeat": 0.5,
                "reconnect_min": 0.02,
                "reconnect_max": 0.2,
            }
        },
        "orders": {
            "stages": [],
            "acknowledge_within": 1.0,
            "settle_seconds": 0.2,
            "reconcile_every": 1.5,
            **orders,
        },
    }


def belief_of(runtime: Any, agent: Agent) -> Belief:
    """Ask a running runtime and its journal for everything the checker compares."""
    path = runtime.state / "journal.db"
    fills: dict[str, dict[str, tuple[Decimal, Decimal]]] = {}
    stories: dict[str, list[str]] = {}
    sent: set[str] = set()
    with JournalReader(path) as reader:
        for key, fill in reader.fills():
            fills.setdefault(key, {})[fill.execution_id] = (fill.quantity, fill.price)
        for entry in reader.entries():
            if entry.key and entry.state:
                stories.setdefault(entry.key, []).append(entry.state)
            if entry.body.get("event") == "SEND":
                sent.add(entry.key)
    orders = []
    for key in set(stories) | {ticket.key for ticket in runtime.orders.all()}:
        ticket = runtime.orders.get(key)
        known = ticket.known
        orders.append(
            Believed(
                key,
                ticket.order_ref,
                known.state.value,
                known.filled,
                known.settled,
                fills.get(key, {}),
                stories.get(key, []),
                known.pending is not None,
                agent.modifies.get(key, 0),
                key in sent,
            )
        )
    positions = {row.instrument.symbol: row.quantity for row in runtime.positions().rows}
    return Belief(orders, positions, verify(path).problem)


async def _move(venue: Venue, dice: random.Random) -> None:
    while True:
        venue.show(dice.choice((AAPL, MSFT)), dice.randint(-4, 4))
        await asyncio.sleep(0.02)


async def _trade(
    runtime: Any, agent: Agent, venue: Venue, faults: Sequence[Fault], count: int
) -> None:
    dice = agent.dice
    due = sorted(dice.randrange(count) for _ in faults)
    running: list[asyncio.Task[None]] = []
    waiting = list(zip(due, faults, strict=True))
    for turn in range(count):
        while waiting and waiting[0][0] <= turn:
            fault = waiting.pop(0)[1]
            strike = asyncio.create_task(_strike(fault, venue, random.Random(dice.random())))
            running.append(strike)
            if dice.random() < 0.5:
                await agent.burst(runtime, dice.randint(3, 8))
        if dice.random() < 0.8:
            await _open_for_risk(runtime)
        await agent.act(runtime)
        await asyncio.sleep(dice.choice((0, 0.005, 0.03)))
    await asyncio.gather(*running)


async def _strike(fault: Fault, venue: Venue, dice: random.Random) -> None:
    await fault(venue, dice)


async def _open_for_risk(runtime: Any) -> None:
    """Wait up to a second for the gate, so that not all that is submitted meanwhile is denied.

    A client id that was taken pages a person, who lets trading go on.
    """
    if runtime.orders.reason:
        await runtime.orders.resume("the test")
    for _ in range(50):
        if not runtime.orders._gate.reconciling:
            return
        await asyncio.sleep(0.02)


async def _settle(venue: Venue, runtime: Any, agent: Agent) -> list[str]:
    """Wait until nothing is wrong any more and stays so; return what is at the deadline."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + HEALED_WITHIN
    asked = Asked(frozenset(agent.taken), frozenset(agent.denied))
    quiet = 0
    while True:
        await asyncio.sleep(0.4)
        await runtime.orders.flush()
        found = compare(list(venue.ledger), belief_of(runtime, agent), asked)
        quiet = 0 if found or runtime.orders._gate.reconciling else quiet + 1
        if quiet == 3:
            return []
        if loop.time() > deadline:
            return found or ["the gate for new risk did not open again"]


async def _gone(venue: Venue) -> None:
    """Wait until the gateway noticed that the runtime before this one left.

    Its client id is in use until then, and the order role does not move to another.
    """
    async with asyncio.timeout(5.0):
        while any(connection.alive for connection in venue.sessions):
            await asyncio.sleep(0.01)


async def session(
    seed: int,
    state: Path,
    faults: Sequence[Fault] | None = None,
    restarts: int | None = None,
    count: int | None = None,
) -> Result:
    """Trade through faults, heal, and compare. What is not given is drawn from the seed."""
    began = asyncio.get_running_loop().time()
    dice = random.Random(seed)
    drawn = tuple(dice.choice(FAULTS) for _ in range(dice.randint(3, 7)))
    drawn = drawn if faults is None else tuple(faults)
    phases = 1 + (dice.random() < 0.25 if restarts is None else restarts)
    count = count or dice.randint(30, 50)
    problems: list[str] = []
    async with Venue(seed) as venue:
        agent = Agent(seed, venue)
        mover = asyncio.create_task(_move(venue, random.Random(seed + 1)))
        try:
            for phase in range(phases):
                share = drawn[phase::phases]
                await _gone(venue)
                async with alluse_core.open(settings(venue.port), state=state) as runtime:
                    await _trade(runtime, agent, venue, share, count // phases)
                    if phase < phases - 1:
                        await heal(venue)
                        continue
                    mover.cancel()
                    await heal(venue)
                    problems = await _settle(venue, runtime, agent)
                    belief = belief_of(runtime, agent)
        finally:
            mover.cancel()
        peaks = [entry["max_messages_in_a_second"] for entry in venue.ledger.of("disconnect")]
    # A new process does not know what the one before it sent in its last second.
    if phases == 1 and venue.shared_rate.peak > venue.rate_limit:
        problems.append(f"{venue.shared_rate.peak} messages in a sliding second on all connections")
    if any(peak > venue.rate_limit for peak in peaks):
        problems.append(f"{max(peaks)} messages in a sliding second on one connection")
    states: dict[str, int] = {}
    for order in belief.orders:
        states[order.state] = states.get(order.state, 0) + 1
    return Result(
        seed,
        problems,
        len(belief.orders),
        len(venue.ledger.of("placed")),
        len(venue.ledger.of("fill")),
        [fault.__name__ for fault in drawn],
        venue.shared_rate.peak,
        states,
        asyncio.get_running_loop().time() - began,
    )


async def sessions(seeds: Sequence[int], folder: Path, together: int = 4) -> dict[int, Result]:
    """Run many sessions, some at a time; an error of one is its problem, not the others'."""
    free = asyncio.Semaphore(together)

    async def one(seed: int) -> Result:
        async with free:
            try:
                return await session(seed, folder / str(seed))
            except (AllUseError, BrokerError) as error:
                told = f"the session ended: {type(error).__name__}: {error}"
                return Result(seed, [told], 0, 0, 0, [], 0, {}, 0.0)

    results = await asyncio.gather(*(one(seed) for seed in seeds))
    return {result.seed: result for result in results}
