"""``alluse demo``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import signal
from pathlib import Path

import click

from alluse_core.cli.numbers import FiniteRange
from alluse_core.errors import UsageError
from alluse_core.state import LOCK, StateFolder
from alluse_demo.incident import IncidentKind
from alluse_demo.screen import open_screen
from alluse_demo.session import Options, Session

_MARK = ".alluse-demo"
_INTERRUPTED = 130


@click.command()
@click.option("--seconds", type=FiniteRange(min=1), default=60.0, show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/demo"),
    show_default=True,
    help="Folder for databases, picture and report; an earlier demo's is replaced.",
)
@click.option(
    "--replay",
    type=click.Path(exists=True, path_type=Path),
    help="Recording to serve instead of the synthetic market: a CSV.gz file or a folder.",
)
@click.option("--speed", type=FiniteRange(min=0.01), default=1.0, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True)
@click.option(
    "--incident",
    type=click.Choice([kind.value for kind in IncidentKind]),
    help="What goes wrong; by default the seed chooses.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def demo(
    seconds: float,
    out: Path,
    replay: Path | None,
    speed: float,
    seed: int,
    incident: str | None,
    as_json: bool,
) -> int:
    """Start a simulated IB Gateway, trade against it, break it once, and report what happened."""
    _prepare(out)
    kind = IncidentKind(incident) if incident else None
    options = Options(seconds, out, seed, speed, replay, kind)
    interrupted = asyncio.run(_run(options))
    _conclude(out, as_json)
    return _INTERRUPTED if interrupted else 0


async def _run(options: Options) -> bool:
    """Run the session; return whether it was interrupted. Ctrl-C ends it with its report."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Only the main thread may take signals; embedded elsewhere, the caller sets the pace.
        with contextlib.suppress(ValueError, RuntimeError):
            loop.add_signal_handler(number, stop.set)
    screen = open_screen()
    try:
        await Session(options, screen, stop).run()
    finally:
        screen.close()
    return stop.is_set()


def _prepare(out: Path) -> None:
    """Make ``out`` an empty folder of our own; never touch one that is in use or not ours."""
    mark = out / _MARK
    if out.is_dir() and any(out.iterdir()):
        if not mark.exists():
            raise UsageError(
                f"{str(out)!r} is not empty and was not made by the demo",
                hint="name an empty or new folder with --out",
            )
        # A demo that runs holds the folder's lock: its databases are not to be cleared away.
        with StateFolder(out):
            _clear(out, keep=(_MARK, LOCK))
    try:
        out.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise UsageError(f"{str(out)!r} cannot be used: {error.strerror}") from None


def _clear(folder: Path, keep: tuple[str, ...]) -> None:
    for path in folder.iterdir():
        if path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _conclude(out: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(json.loads((out / "summary.json").read_text("utf-8")), indent=2))
        return
    # The names of the facts are for whoever looks them up in the file.
    click.echo(re.sub(r" ?<sub>.*?</sub>", "", (out / "summary.md").read_text("utf-8")))
    commands = (
        (f"alluse orders list --out {out}", "what became of every order"),
        (f"alluse journal verify --out {out}", "whether the journal is whole"),
        ("alluse config init", "run it against your own paper gateway"),
    )
    width = max(len(command) for command, _ in commands)
    click.echo("Next:")
    for command, purpose in commands:
        click.echo(f"  {command:<{width}}  {purpose}")
    click.echo(f"The picture is {out / 'dashboard.png'}")
