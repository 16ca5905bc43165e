"""What goes wrong in a session, by name. Each fault ends by itself, or when the world is healed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from alluse_sim.machine import Machine
from alluse_sim.network import Weather
from alluse_sim.world import INSTRUMENTS, World

CLIENT = 17
"""The client id of the order connection."""

Fault = Callable[[World, Machine, random.Random], Coroutine[Any, Any, None]]


async def cut(world: World, machine: Machine, dice: random.Random) -> None:
    """Reset sockets, those of orders or all."""
    await asyncio.sleep(dice.uniform(0, 0.05))
    world.control.drop(dice.choice((None, CLIENT)), abort=dice.random() < 0.5)


async def cut_inside_a_frame(world: World, machine: Machine, dice: random.Random) -> None:
    """Let the next connections carry a few thousand bytes and reset them wherever that is."""
    machine.network.cuts = [dice.randrange(200, 6000) for _ in range(2)]
    world.control.drop(CLIENT, abort=True)


async def half_open(world: World, machine: Machine, dice: random.Random) -> None:
    """Freeze sockets; their client ids stay taken (326) until the gateway lets go."""
    world.control.half_open(dice.choice((None, CLIENT)))
    await asyncio.sleep(dice.uniform(0.2, 1.5))
    world.let_go()


async def late_acks(world: World, machine: Machine, dice: random.Random) -> None:
    """Acknowledge late."""
    world.control.delay_acks(dice.uniform(0.02, 0.6))
    await asyncio.sleep(0.5)
    world.control.delay_acks(0)


async def slow(world: World, machine: Machine, dice: random.Random) -> None:
    """Answer everything late."""
    world.control.latency(dice.uniform(0.01, 0.2))
    await asyncio.sleep(0.4)
    world.control.latency(0)


async def mute(world: World, machine: Machine, dice: random.Random) -> None:
    """Lose orderStatus, errors, openOrder, execDetails, or what answers the questions."""
    world.control.mute([dice.choice((3, 4, 5, 11, 53, 55, 59, 61, 101, 102))])
    await asyncio.sleep(dice.uniform(0.1, 0.9))
    world.control.mute([])


async def mute_fills(world: World, machine: Machine, dice: random.Random) -> None:
    """Lose what is told of fills, then the connection: only the questions can tell."""
    world.control.mute([11])
    await asyncio.sleep(0.4)
    world.control.drop(CLIENT, abort=True)
    world.control.mute([])


async def omit(world: World, machine: Machine, dice: random.Random) -> None:
    """Leave orders out of every answer: lists end as if they were complete."""
    world.control.mute([3, 5, 11])
    await asyncio.sleep(dice.uniform(1.5, 3.0))
    world.control.mute([])


async def babble(world: World, machine: Machine, dice: random.Random) -> None:
    """Name live orders in errors that end none of them."""
    for booked in world.desks.orders.book:
        for connection in world.sessions:
            if booked.alive and connection.client_id == booked.client_id:
                connection.error(booked.order_id, dice.choice((10349, 399, 161)), "a remark")


async def reject(world: World, machine: Machine, dice: random.Random) -> None:
    """Refuse the next orders."""
    world.control.reject(dice.randint(1, 3), dice.choice((201, 110, 321)))
    await asyncio.sleep(0.2)
    world.control.reject(0)


async def partial(world: World, machine: Machine, dice: random.Random) -> None:
    """Fill the next orders in parts."""
    world.control.partial_fills(dice.randint(2, 6), dice.choice(("0.2", "0.5")))


async def outage(world: World, machine: Machine, dice: random.Random) -> None:
    """Lose the uplink while the market fills what rests there."""
    world.control.broadcast(1100)
    await asyncio.sleep(dice.uniform(0.02, 0.2))
    for instrument in INSTRUMENTS:
        for change in (30, -60, 30):
            world.show(instrument, change)
            await asyncio.sleep(0.01)
    if dice.random() < 0.3:
        world.control.drop(CLIENT)
        await asyncio.sleep(0.2)
    await asyncio.sleep(dice.uniform(0.05, 0.4))
    world.control.broadcast(dice.choice((1101, 1102)))


async def roll_back(world: World, machine: Machine, dice: random.Random) -> None:
    """Give out order ids anew, as a restarted gateway may."""
    world.control.next_order_id(CLIENT, dice.randint(1, 6))
    world.control.drop()


async def deaf(world: World, machine: Machine, dice: random.Random) -> None:
    """Drop everybody and refuse connections for a while."""
    await world.control.pause_listening()
    world.control.drop(abort=dice.random() < 0.5)
    await asyncio.sleep(dice.uniform(0.1, 0.5))
    await world.control.resume_listening()


async def by_hand(world: World, machine: Machine, dice: random.Random) -> None:
    """Trade past the runtime, as a person does in TWS."""
    world.control.manual_order("AAPL", dice.choice(("BUY", "SELL")), 7)


async def bad_weather(world: World, machine: Machine, dice: random.Random) -> None:
    """Deliver bytes late and in pieces; later by no more than the pacer's margin allows for."""
    machine.network.weather = Weather(0.01, dice.uniform(0, 0.03), 0.5)
    await asyncio.sleep(dice.uniform(0.2, 1.0))
    machine.network.weather = Weather()


async def kill(world: World, machine: Machine, dice: random.Random) -> None:
    """Kill the process, at any moment: while a burst is made durable, or is being sent."""
    await asyncio.sleep(dice.choice((0.05, 0.5)) * dice.random())
    machine.kill()


async def kill_with_bytes_on_the_way(world: World, machine: Machine, dice: random.Random) -> None:
    """Kill the process while the network still carries what it wrote: it arrives much later."""
    machine.network.weather = Weather(dice.uniform(0.5, 2.0))
    await asyncio.sleep(dice.uniform(0.05, 0.2))
    machine.kill()
    machine.network.weather = Weather()


async def lossy(world: World, machine: Machine, dice: random.Random) -> None:
    """Lose each tenth message about orders, fills and positions, answers to questions included."""
    world.control.lose([3, 4, 5, 11, 53, 55, 59, 61, 101], count=1000, one_in=10)
    await asyncio.sleep(dice.uniform(1.0, 3.0))
    world.control.tamper_no_more()


async def doubled(world: World, machine: Machine, dice: random.Random) -> None:
    """Say all there is to say about orders and fills twice."""
    world.control.duplicate([3, 4, 5, 11, 59, 101], count=1000)
    await asyncio.sleep(dice.uniform(0.5, 2.0))
    world.control.tamper_no_more()


async def out_of_turn(world: World, machine: Machine, dice: random.Random) -> None:
    """Tell of fills before the orders are told of, of statuses before fills, or of costs first."""
    choice = dice.randrange(3)
    if choice == 0:
        world.control.executions_first(dice.randint(2, 8))
    else:
        held, until = (([11], [3]), ([3], [59]))[choice - 1]
        world.control.hold(held, until, count=dice.randint(4, 20))
    await asyncio.sleep(dice.uniform(0.3, 1.5))
    world.control.tamper_no_more()


NEWS = ("doubled", "lossy", "out-of-turn")
"""Faults of single messages: every third session has one besides its others."""

FAULTS: Mapping[str, Fault] = {
    fault.__name__.replace("_", "-"): fault
    for fault in (
        cut,
        cut_inside_a_frame,
        half_open,
        late_acks,
        slow,
        mute,
        mute_fills,
        omit,
        babble,
        reject,
        partial,
        outage,
        roll_back,
        deaf,
        by_hand,
        bad_weather,
        kill,
        kill_with_bytes_on_the_way,
        lossy,
        doubled,
        out_of_turn,
    )
}
"""Every fault, by the name under which a session reports it."""
