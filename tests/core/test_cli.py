"""The command line: exit codes, unknown words, help, and what a person is told."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from command_line import bare_machine, run

from alluse_core import errors
from alluse_core.cli.main import INTERRUPTED, main
from alluse_core.providers import Command

# The package's own ``main`` is the function, so the module has to be asked for by name.
cli = importlib.import_module("alluse_core.cli.main")

HEAVY = (
    "numpy",
    "scipy",
    "sklearn",
    "matplotlib",
    "ib_insync",
    "ib_async",
    "rich",
    "psutil",
    "apscheduler",
    "asyncio",
    "sqlite3",
    "cattrs",
    "tomllib",
    "alluse_core.runtime",
    "alluse_core.settings",
)


@pytest.fixture(autouse=True)
def _bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare_machine(tmp_path, monkeypatch)


def command(function: Any, *, params: list[click.Parameter] | None = None) -> click.Command:
    return click.Command("try", callback=function, params=params or [])


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let ``alluse try`` run a function."""

    def with_function(function: Any) -> None:
        record = Command("try", "Try it.", f"{__name__}:unused")
        monkeypatch.setattr(cli, "_commands", lambda: (record,))
        monkeypatch.setattr(cli, "_imported", lambda _: command(function))

    return with_function


def failing(error: BaseException) -> Any:
    def callback() -> None:
        raise error

    return callback


# --- exit codes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.StateError("the folder is gone", hint="make it"), 1),
        (errors.UsageError("cannot be meant", hint="mean it"), 2),
        (errors.SettingsError("orders.x is not a setting", hint="drop it"), 3),
        (errors.ProviderNotFound("broker", "ibrk", ["ibkr"]), 3),
        (errors.BrokerUnavailable("nobody answers", hint="start it"), 4),
        (errors.OrderDenied("too many", stage="max_quantity", hint="send fewer"), 5),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.UsageError("no"), 2),
        (click.ClickException("no"), 1),
        (ValueError("surprise"), 1),
        (OSError(28, "No space left on device"), 1),
        (RecursionError("deep"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_every_error_ends_with_its_code_on_stderr_and_without_a_traceback(
    error: BaseException, code: int, offer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(failing(error))
    assert run("try") == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert printed.err.strip()
    hint = getattr(error, "hint", "")
    assert hint in printed.err
    if str(error) and not isinstance(error, click.Abort):
        assert str(error).split("\n")[0] in printed.err


@pytest.mark.parametrize(
    ("error", "examined"),
    [
        (errors.SettingsError("orders.x is not a setting"), "'alluse doctor' checks"),
        (errors.ProviderNotFound("broker", "ibrk", ["ibkr"]), "'alluse doctor' checks"),
        (errors.BrokerUnavailable("nobody answers"), "'alluse doctor --connect' checks"),
        (errors.UsageError("cannot be meant"), ""),
        (errors.OrderNotFound("no order has the key 'x'"), ""),
        (errors.OrderDenied("too many", stage="max_quantity"), ""),
        (errors.RequestFailed("no permission"), ""),
        (ValueError("surprise"), ""),
        (OSError(28, "No space left on device"), ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_doctor_is_named_where_it_looks_at_what_the_error_is_about(
    error: BaseException, examined: str, offer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(failing(error))
    run("try")
    told = capsys.readouterr().err
    assert examined in told
    assert ("doctor" in told) == bool(examined)


def test_an_unexpected_error_is_called_a_fault_of_the_program(
    offer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(failing(ZeroDivisionError("division by zero")))
    assert run("try") == 1
    assert "unexpected ZeroDivisionError: division by zero" in capsys.readouterr().err


def test_a_full_disk_is_no_fault_of_the_program(
    offer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(failing(OSError(28, "No space left on device", "journal.db")))
    assert run("try") == 1
    printed = capsys.readouterr().err
    assert "No space left on device: 'journal.db'" in printed
    assert "unexpected" not in printed


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), errors.SettingsError("x")])
def test_with_alluse_debug_the_error_itself_comes_out(
    error: Exception, offer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLUSE_DEBUG", "1")
    offer(failing(error))
    with pytest.raises(type(error)):
        main(["try"])


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (1, 1), (6, 6), ("text", 0)])
def test_a_command_may_return_its_code(result: Any, code: int, offer: Any) -> None:
    offer(lambda: result)
    assert run("try") == code


# --- unknown words -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "nearest"),
    [
        (["ordres"], "orders"),
        (["plugin"], "plugins"),
        (["orders", "lst"], "list"),
        (["config", "chek"], "check"),
        (["config", "show", "--origins"], "--origin"),
    ],
)
def test_a_misspelt_command_or_option_is_answered_with_the_nearest(
    args: list[str], nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*args) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"'{nearest}'" in printed.err


def test_a_word_like_nothing_is_refused_without_a_guess(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("xyzzy") == 2
    assert "did you mean" not in capsys.readouterr().err


# --- help ----------------------------------------------------------------------------------------


def test_help_lists_the_commands_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    printed = capsys.readouterr().out
    for word in ("orders", "plugins", "config", "130 interrupted", "--version"):
        assert word in printed


def test_the_help_of_a_group_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config", "--help") == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("init", "show", "check"))


def test_version_says_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("alluse ")


@pytest.mark.parametrize("args", ["--help", "--version", "config --help"])
def test_help_imports_nothing_heavy(args: str) -> None:
    code = (
        "import sys\n"
        "from alluse_core.cli import main\n"
        "try:\n"
        f"    main({args.split()!r})\n"
        "finally:\n"
        f"    found = sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "    print('heavy:', found, file=sys.stderr)\n"
    )
    environ = {name: text for name, text in os.environ.items() if name != "ALLUSE_SAFE_MODE"}
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environ
    )
    assert finished.returncode == 0, finished.stderr
    assert "heavy: []" in finished.stderr


def test_the_shell_completes_commands_without_importing_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = (Command("try it", "Try it.", "no_such:x"), Command("trust", "No.", "no_such:x"))
    monkeypatch.setattr(cli, "_commands", lambda: records)
    monkeypatch.setenv("_ALLUSE_COMPLETE", "bash_complete")
    for words, cword, expected in (
        ("alluse tr", "1", ["try", "trust"]),
        ("alluse try ", "2", ["it"]),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", cword)
        assert run() == 0
        printed = capsys.readouterr().out.split()
        assert sorted(printed) == sorted(f"plain,{word}" for word in expected)


# --- commands of plugins -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["no_such_module:x", "alluse_core.errors:nothing", "alluse_core.errors:AllUseError", "", "x"],
)
def test_a_command_that_cannot_be_loaded_names_itself(
    target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_commands", lambda: (Command("try", "Try it.", target),))
    assert run("try") == 3
    printed = capsys.readouterr().err
    assert repr(target) in printed
    assert "Traceback" not in printed
    assert run("--help") == 0


def test_two_plugins_with_one_command_do_not_take_the_command_line_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = cli.Host

    def clashing(**more: Any) -> Any:
        if not more["safe_mode"]:
            raise errors.DuplicateProvider("command 'run' is offered by both a and b")
        return original(**more)

    monkeypatch.delenv("ALLUSE_SAFE_MODE")
    monkeypatch.setattr(cli, "Host", clashing)
    assert run("--help") == 0
    printed = capsys.readouterr()
    assert "offered by both a and b" in printed.err
    assert "plugins" in printed.out


# --- as a process --------------------------------------------------------------------------------


@contextmanager
def process_of(script: str) -> Iterator[Any]:
    """Run a script as a process, ended when the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_a_reader_that_goes_away_is_no_error_to_speak_of() -> None:
    script = (
        "import click, importlib\n"
        "from alluse_core.cli.output import print_table\n"
        "cli = importlib.import_module('alluse_core.cli.main')\n"
        "from alluse_core.providers import Command\n"
        "record = Command('try', '', '')\n"
        "cli._commands = lambda: (record,)\n"
        "talk = lambda: print_table(('a',), [('x' * 100,)] * 20_000)\n"
        "cli._imported = lambda _: click.Command('try', callback=talk)\n"
        "cli.main(['try'])\n"
    )
    with process_of(script) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


def test_an_interrupt_ends_with_130_and_one_line() -> None:
    script = (
        "import click, importlib, time\n"
        "cli = importlib.import_module('alluse_core.cli.main')\n"
        "from alluse_core.providers import Command\n"
        "cli._commands = lambda: (Command('try', '', ''),)\n"
        "wait = lambda: (print('ready', flush=True), time.sleep(60))\n"
        "cli._imported = lambda _: click.Command('try', callback=wait)\n"
        "cli.main(['try'])\n"
    )
    with process_of(script) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read().split() == ["interrupted"]
        assert process.wait(30) == INTERRUPTED == 130
