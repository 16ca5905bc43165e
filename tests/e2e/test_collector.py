"""What is alive at the start stays out of the collections of a trading process."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from click.testing import CliRunner

import alluse_core.cli.run as cli_run
from alluse_core.collector import startup_frozen


def _walked(sought: object) -> bool:
    return any(each is sought for each in gc.get_objects())


def test_what_is_alive_is_walked_by_no_collection_until_the_block_ends() -> None:
    kept: list[object] = []
    kept.append(kept)
    with startup_frozen():
        assert not _walked(kept)
    assert _walked(kept)


def test_the_block_thaws_what_it_froze_also_where_it_raises() -> None:
    kept: list[object] = []
    kept.append(kept)
    with pytest.raises(KeyError):
        _raise_frozen()
    assert _walked(kept)


def _raise_frozen() -> None:
    with startup_frozen():
        raise KeyError


def test_run_trades_with_its_start_frozen_and_thaws_it_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    until = cli_run._until_stopped

    async def counted(*given: object) -> object:
        seen.append(gc.get_freeze_count())
        return await until(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(cli_run, "_until_stopped", counted)
    settings = tmp_path / "alluse.toml"
    settings.write_text(
        f'[alluse]\nstate_dir = "{tmp_path}"\n[brokers.main]\nprovider = "paper"\n', "utf-8"
    )
    done = CliRunner().invoke(cli_run.run, ["--config", str(settings), "--seconds", "0.01"])
    assert done.exit_code == 0, done.output
    assert len(seen) == 1
    assert seen[0] > 10_000
    assert gc.get_freeze_count() < seen[0]
