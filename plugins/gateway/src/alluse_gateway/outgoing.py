"""One client's messages on their way out: gathered, spoilt where told to, delayed, cut, written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from alluse_gateway import wire
from alluse_gateway.faults import Faults
from alluse_gateway.tampering import Act, Rule

Note = Callable[..., None]
"""Writes to the ledger: an event and its facts, the client's among them."""


class Outgoing:
    """Frames leave in the order they were put, but for those that a rule takes out of turn.

    Frames are gathered and written once per turn of the loop. ``spoil`` is how the next frame is
    damaged: "cut" sends half of what its length promises, "length" promises more than ever comes,
    "noise" puts bytes before it that are no frame. The framing is lost, and the socket stays.
    """

    def __init__(self, faults: Faults, write: Callable[[bytes], None], note: Note) -> None:
        self.version = 0
        self.spoil = ""
        self._faults = faults
        self._write = write
        self._note = note
        self._batch: list[bytes] = []
        self._late: deque[bytes] = deque()
        self._segments: deque[bytes] = deque()
        self._held: list[tuple[frozenset[int], bytes]] = []

    def put(self, frame: bytes) -> None:
        """Send one frame, or what the faults in force make of it."""
        faults = self._faults
        if not (faults.muted or faults.tampering.rules or self._held or self.spoil):
            self._gather(frame)
            return
        kind = wire.kind_of(frame, self.version)
        if kind in faults.muted:
            self._note("muted", kind=kind)
            return
        rule = faults.tampering.take(kind)
        if rule is None:
            self._gather(self._spoilt(frame, kind))
        else:
            self._tamper(rule, frame, kind)
        if rule is None or rule.act is not Act.HOLD:
            self._release(kind)

    def flush(self) -> None:
        """Write all that waits, at once, except what a rule holds back."""
        self._late.append(b"".join(self._batch))
        self._batch.clear()
        while self._late:
            self._segments.append(self._late.popleft())
        while self._segments:
            self._write(self._segments.popleft())

    def discard(self) -> None:
        """Forget all that waits."""
        for waiting in (self._batch, self._late, self._segments, self._held):
            waiting.clear()

    # --- single messages --------------------------------------------------------------------

    def _tamper(self, rule: Rule, frame: bytes, kind: int) -> None:
        self._note("tampered", act=rule.act.value, kind=kind)
        if rule.act is Act.DOUBLE:
            self._gather(frame)
            self._gather(frame)
        elif rule.act is Act.DELAY:
            asyncio.get_running_loop().call_later(rule.seconds, self._gather, frame)
        elif rule.act is Act.HOLD:
            self._held.append((rule.until, frame))

    def _release(self, kind: int) -> None:
        free = [frame for until, frame in self._held if kind in until]
        if free:
            self._held = [each for each in self._held if kind not in each[0]]
            for frame in free:
                self._gather(frame)

    def _spoilt(self, frame: bytes, kind: int) -> bytes:
        how, self.spoil = self.spoil, ""
        if not how:
            return frame
        self._note("tampered", act=how, kind=kind)
        return _SPOILT[how](frame)

    # --- the stream -------------------------------------------------------------------------

    def _gather(self, frame: bytes) -> None:
        if not self._batch:
            loop = asyncio.get_running_loop()
            if self._faults.coalesce > 0:
                loop.call_later(self._faults.coalesce, self._send_batch)
            else:
                loop.call_soon(self._send_batch)
        self._batch.append(frame)

    def _send_batch(self) -> None:
        if not self._batch:
            return
        batch = b"".join(self._batch)
        self._batch.clear()
        delay = self._faults.latency
        if delay > 0 or self._late:
            # Batches are taken from the queue in order, whatever the latency was when each was put.
            self._late.append(batch)
            asyncio.get_running_loop().call_later(delay, self._send_late)
        else:
            self._cut(batch)

    def _send_late(self) -> None:
        if self._late:
            self._cut(self._late.popleft())

    def _cut(self, batch: bytes) -> None:
        size = self._faults.split
        if not size and not self._segments:
            self._write(batch)
            return
        idle = not self._segments
        step = size or len(batch)
        self._segments.extend(batch[at : at + step] for at in range(0, len(batch), step))
        if idle:
            self._send_segment()

    def _send_segment(self) -> None:
        if not self._segments:
            return
        self._write(self._segments.popleft())
        if self._segments:
            # One segment a turn, so that the client may read between any two.
            asyncio.get_running_loop().call_soon(self._send_segment)


_SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda frame: frame[: 4 + (len(frame) - 4) // 2],
    "length": lambda frame: b"\x00\x10" + frame[2:],
    "noise": lambda frame: b"\x00\x00\x01\x00" + frame,
}
SPOILS = tuple(_SPOILT)
