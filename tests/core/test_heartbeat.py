"""The heart of a process, and the judgement of whoever watches it."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import attrs

from alluse_core.heartbeat import TOKEN, Beat, Heart, decode, read_file, read_port
from alluse_core.watchdog import Pulse, Record, Vigil


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_heart_beats_into_its_file_and_says_that_its_end_was_orderly(tmp_path: Path) -> None:
    async def scenario() -> None:
        heart = Heart(tmp_path, "one", lambda: "ACTIVE", every=0.01)
        assert read_file(tmp_path) is None
        await heart.start()
        first = read_file(tmp_path)
        assert first is not None
        assert (first.incarnation, first.trading, first.pid) == ("one", "ACTIVE", os.getpid())
        while (now := read_file(tmp_path)) is not None and now.number < first.number + 3:
            await asyncio.sleep(0.01)
        await heart.stop()
        last = read_file(tmp_path)
        assert last is not None
        assert last.ended

    asyncio.run(scenario())


def test_the_port_answers_whoever_has_the_token_and_nobody_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        heart = Heart(tmp_path, "one", lambda: "ACTIVE", every=60, port=port)
        await heart.start()
        token = (tmp_path / TOKEN).read_bytes()
        assert stat.S_IMODE((tmp_path / TOKEN).stat().st_mode) == 0o600
        beat = await asyncio.to_thread(read_port, "127.0.0.1", port, token)
        assert beat == read_file(tmp_path)
        for wrong in (b"", b"x", token[:-1], b"\xff" * 100_000):
            assert await asyncio.to_thread(read_port, "127.0.0.1", port, wrong) is None
        await heart.stop()
        assert await asyncio.to_thread(read_port, "127.0.0.1", port, token) is None

    asyncio.run(scenario())


def test_a_line_that_is_no_beat_is_none() -> None:
    for line in (b"", b"[]", b"3", b'{"number": "x"}', b'{"incarnation": "a", "number": 1}'):
        assert decode(line) is None
    beat = Beat("a", 1, 2, "ACTIVE", True)
    assert decode(beat.encode()) == beat


BEAT = Beat("one", 1, 5)


def looks(vigil: Vigil, beat: Beat | None, start: float, end: float) -> Pulse:
    pulse, now = Pulse.UNSEEN, start
    while now <= end:
        pulse, now = vigil.look(beat, now), now + 1.0
    return pulse


def test_a_heart_that_stands_still_has_stopped_after_so_many_seconds() -> None:
    vigil = Vigil(10.0, 5.0)
    assert looks(vigil, None, 0, 100) is Pulse.UNSEEN, "nobody knows that there was a heart"
    assert vigil.look(BEAT, 101) is Pulse.UNSEEN, "it may be an old file"
    assert looks(vigil, BEAT, 102, 110) is Pulse.BEATING
    assert vigil.look(BEAT, 111) is Pulse.STOPPED
    assert vigil.look(attrs.evolve(BEAT, number=2), 112) is Pulse.BEATING


def test_a_mute_heart_has_stopped_too() -> None:
    vigil = Vigil(10.0, 5.0)
    vigil.look(BEAT, 0)
    assert looks(vigil, None, 1, 9) is Pulse.BEATING
    assert vigil.look(None, 10) is Pulse.STOPPED


def test_an_orderly_end_is_no_death() -> None:
    vigil = Vigil(10.0, 5.0)
    vigil.look(BEAT, 0)
    assert looks(vigil, attrs.evolve(BEAT, number=2, ended=True), 1, 100) is Pulse.ENDED
    assert vigil.look(Beat("two", 1, 6), 101) is Pulse.BEATING


def test_a_watcher_that_was_held_up_itself_counts_anew() -> None:
    """A host that slept for an hour has seen nothing of the hour."""
    vigil = Vigil(10.0, 5.0)
    vigil.look(BEAT, 0)
    assert vigil.look(BEAT, 3600) is Pulse.BEATING
    assert looks(vigil, BEAT, 3601, 3609) is Pulse.BEATING
    assert vigil.look(BEAT, 3610) is Pulse.STOPPED


def test_the_record_tells_whether_a_watchdog_acted_before(tmp_path: Path) -> None:
    told: list[str] = []
    record = Record(tmp_path / "log", lambda body: told.append(body["event"]))
    assert not record.acted_on("one")
    record.write("heart stopped", incarnation="one")
    assert not record.acted_on("one")
    record.write("acts", incarnation="one")
    with (tmp_path / "log").open("a") as file:
        file.write('{"event": "ac')
    assert record.acted_on("one")
    assert not record.acted_on("two")
    assert told == ["heart stopped", "acts"]
