"""Fuzzes a running gateway's sessions with frames, guided by coverage where atheris is installed.

    python plugins/gateway/tests/fuzz_frames.py --runs 1000000

Each input is a server version, a way to send, and the bytes. It fails on any exception that leaves
a session or a callback, and where a fresh gateway begins with more memory than the ones before it.
Without atheris the same inputs are varied by a seeded random generator, and the report says so.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

GENERATION = 20_000
"""Inputs of one gateway. Its orders and ledger may grow; the next gateway starts anew."""

WARM_UP = 2
"""Generations before the first whose memory is compared with."""

BLOCKS_ALLOWED = 20_000
"""Blocks of memory (sys.getallocatedblocks) that a fresh gateway may begin with beyond those."""

LONGEST_INPUT = 8192
FIRST, LAST = 157, 226


class Growth(AssertionError):
    """Memory is not given back when a gateway ends."""


class Nowhere:
    """A transport whose far end reads everything."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._closing = False
        self.written = 0

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._session.connection_lost, None)

    abort = close


class Target:
    """A gateway and one started session for each version that inputs have asked for."""

    def __init__(self, runs: int) -> None:
        self.runs, self.count, self.written = runs, 0, 0
        self.told = 0
        self.blocks: list[int] = []
        self.raised: list[dict[str, Any]] = []
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _, context: self.raised.append(context))
        self._gateway: Any = None
        self._sessions: dict[int, tuple[Any, Nowhere]] = {}

    def one(self, data: bytes) -> None:
        """Feed one input. Raises what the gateway let out, or Growth."""
        if self.count % GENERATION == 0:
            self._renew()
        self.count += 1
        if len(data) < 2:
            return
        version = FIRST + data[0] % (LAST - FIRST + 1)
        body = data[2:]
        stream = body if data[1] % 8 == 0 else struct.pack(">I", len(body)) + body
        self._loop.run_until_complete(self._feed(version, stream))
        if self.raised:
            context = self.raised[0]
            raise context.get("exception") or AssertionError(context["message"])

    async def _feed(self, version: int, stream: bytes) -> None:
        session = self._session(version)
        session.data_received(stream)
        await asyncio.sleep(0)

    def _session(self, version: int) -> Any:
        session, transport = self._sessions.get(version, (None, None))
        if session is not None and session.alive:
            return session
        self.written += transport.written if transport is not None else 0
        session = self._gateway.new_session()
        session.connection_made(cast(asyncio.Transport, Nowhere(session)))
        offer = f"v{version}..{version}".encode()
        session.data_received(b"API\0" + struct.pack(">I", len(offer)) + offer)
        start = b"2\0%d\0\0" % version
        start = struct.pack(">I", 71) + start if version >= 201 else b"71\0" + start
        session.data_received(struct.pack(">I", len(start)) + start)
        self._sessions[version] = session, session._transport
        return session

    def _renew(self) -> None:
        self._end()
        gc.collect()
        self._tell()
        self.blocks.append(sys.getallocatedblocks())
        first = self.blocks[WARM_UP] if len(self.blocks) > WARM_UP else None
        if first is not None and self.blocks[-1] > first + BLOCKS_ALLOWED:
            raise Growth(f"{self.blocks[-1] - first} more blocks after {self.count} inputs")
        self._loop.run_until_complete(self._start())

    def _tell(self) -> None:
        """Tell the long gates' runner of those that were fed since it was told last."""
        with Path(os.environ.get("ALLUSE_RAN", os.devnull)).open("a", encoding="utf-8") as told:
            print(json.dumps({"ran": self.count - self.told}), file=told)
        self.told = self.count

    async def _start(self) -> None:
        from alluse_gateway.server import SimulatedGateway
        from gateway_lab import make_exchange

        self._gateway = SimulatedGateway(
            make_exchange(), rate_limit=0, strict_order_ids=False, active_orders=20, ledger_keep=100
        )
        await self._gateway.start()

    def close(self) -> None:
        """Let go of everything."""
        self._end()
        self._loop.close()

    def _end(self) -> None:
        if self._gateway is not None:
            self._loop.run_until_complete(self._gateway.stop())
            self._gateway = None
        self.written += sum(transport.written for _, transport in self._sessions.values())
        self._sessions.clear()

    def report(self, engine: str, seconds: float) -> str:
        """Say what was run. Raises Growth."""
        self._end()
        self._tell()
        gc.collect()
        self.blocks.append(sys.getallocatedblocks())
        grown = self.blocks[-1] - self.blocks[min(WARM_UP, len(self.blocks) - 1)]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if len(self.blocks) > WARM_UP + 1 and grown > BLOCKS_ALLOWED:
            raise Growth(f"{grown} more blocks after {self.count} inputs")
        return (
            f"{self.count} inputs by {engine} in {seconds:.0f} s: no uncaught error; "
            f"{self.written} bytes answered; memory blocks {grown:+d} since the warm-up, "
            f"peak {peak:.0f} MiB"
        )


def seeds() -> list[bytes]:
    """Return well-formed messages of every kind, as inputs."""
    from test_fuzz import TEMPLATES
    from test_wire import order_fields

    rows = [(176, row) for row in TEMPLATES]
    rows += [(version, order_fields(version)) for version in (157, 170, 177, 187, 192, 200)]
    rows += [(200, [str(kind), "1", "7", "1", "AAPL", "", "", ""]) for kind in range(1, 108)]
    found = []
    for version, row in rows:
        body = ("\0".join(row) + "\0").encode("utf-8", "surrogateescape")
        found.append(bytes([version - FIRST, 1]) + body)
        rest = body.partition(b"\0")[2]
        for kind in (int(row[0]), int(row[0]) + 200):
            found.append(bytes([LAST - FIRST, 1]) + struct.pack(">I", kind) + rest)
    framed = struct.pack(">I", 5) + b"49\x001\0"
    found += [bytes([19, 0]) + framed * 3, bytes([19, 0]) + framed[:6]]
    return found


def varied(rng: random.Random, pool: list[bytes]) -> Iterator[bytes]:
    """Yield inputs without end: bytes and fields of seeds replaced, doubled, cut and joined."""
    while True:
        data = bytearray(rng.choice(pool))
        for _ in range(rng.choice((1, 1, 2, 4, 8))):
            at = rng.randrange(len(data) + 1)
            what = rng.randrange(5)
            if what == 0:
                data[at : at + rng.randrange(4)] = rng.randbytes(rng.randrange(4))
            elif what == 1:
                del data[at : at + rng.randrange(20)]
            elif what == 2:
                data[at:at] = rng.choice(pool)[2 : 2 + rng.randrange(40)]
            elif what == 3:
                fields = bytes(data).split(b"\0")
                fields[rng.randrange(len(fields))] = rng.choice(WORDS)
                data = bytearray(b"\0".join(fields))
            elif data:
                data[0] = rng.randrange(256)
            data = data or bytearray(b"\0\1")
        yield bytes(data[:LONGEST_INPUT])


WORDS = (b"", b"0", b"-1", b"2147483647", b"1e400", b"nan", b"Infinity", b"BAG", b"9" * 30, b"\xff")


def by_random(target: Target, seed: int) -> None:
    """Run the target on varied seeds."""
    for _, data in zip(range(target.runs), varied(random.Random(seed), seeds()), strict=False):
        target.one(data)


def by_atheris(target: Target, seed: int) -> None:
    """Run the target on what covers more of the gateway; ends the process."""
    import atheris

    corpus = Path(tempfile.mkdtemp(prefix="alluse-fuzz-"))
    for number, data in enumerate(seeds()):
        (corpus / str(number)).write_bytes(data)
    began = time.monotonic()

    def one(data: bytes) -> None:
        target.one(data)
        if target.count == target.runs:
            print(target.report("atheris", time.monotonic() - began), flush=True)
            shutil.rmtree(corpus, ignore_errors=True)
            # libFuzzer does not return to its caller.
            os._exit(0)

    options = ["-runs=-1", f"-max_len={LONGEST_INPUT}", f"-seed={seed}", "-verbosity=0"]
    artifacts = f"-artifact_prefix={tempfile.gettempdir()}/alluse-fuzz-"
    atheris.Setup([sys.argv[0], *options, artifacts, str(corpus)], one)
    atheris.Fuzz()


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        import atheris
    except ImportError:
        print("atheris is not installed (requirements-torture.txt): inputs are not guided")
        target, began = Target(options.runs), time.monotonic()
        by_random(target, options.seed)
        print(target.report("a seeded random generator", time.monotonic() - began))
        target.close()
        return 0
    with atheris.instrument_imports(include=["alluse_gateway"]):
        import alluse_gateway.protobuf.codec
        import alluse_gateway.server  # noqa: F401
    by_atheris(Target(options.runs), options.seed)
    return 1


if __name__ == "__main__":
    sys.exit(main())
