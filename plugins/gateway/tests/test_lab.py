"""What the other files' stories rely on: one that fails disturbs no other."""

from __future__ import annotations

import asyncio

import pytest
from alluse_gateway.server import SimulatedGateway
from gateway_lab import RawClient, make_exchange, run


@pytest.mark.parametrize("wait", [0.0, 0.01])
def test_a_story_that_fails_leaves_no_connection_open(wait: float) -> None:
    clients: list[RawClient] = []

    async def story() -> None:
        async with SimulatedGateway(make_exchange()) as gateway:
            clients.append(await RawClient.connect(gateway, 1))
            clients.append(await RawClient.connect(gateway, 2))
            clients[1].send(49, 1)
            await asyncio.sleep(wait)
            raise LookupError("the story")

    with pytest.raises(LookupError, match="the story"):
        run(story)
    sockets = [each.writer.get_extra_info("socket") for each in clients]
    assert [each.fileno() for each in sockets] == [-1, -1]
