"""The rules of the house: who may import whom, what an import may weigh."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "alluse_core"
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))

# Rooms of the core from the bottom up: a room imports from rooms of lower rank only. Rooms of
# one rank may use each other where they are one line here, services never do.
RANKS = (
    ("markers", "errors", "model", "clock", "collector", "redaction"),
    ("telemetry", "settings"),
    ("ports",),
    ("providers",),
    ("hookspecs",),
    ("host",),
    ("builtin", "installation", "state", "spool", "heartbeat"),
    ("orders", "quotes", "monitor", "analysis"),
    ("cycles",),
    ("runtime",),
    ("sync", "watchdog"),
    ("cli",),
)
SERVICES = ("orders", "quotes", "monitor", "analysis")
UNSAFE = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
"""What makes objects of bytes by running what these say."""
HEAVY_HOMES = {
    "ib_insync": "alluse_ibkr",
    "ib_async": "alluse_ibkr",
    "sklearn": "alluse_analytics",
    "matplotlib": "alluse_report",
}


def _imports(path: Path, *, lazy: bool = True) -> Iterator[str]:
    """Yield the dotted names a file imports; without ``lazy`` only those at its top level."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = ast.walk(tree) if lazy else ast.iter_child_nodes(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(dotted: str) -> str | None:
    parts = dotted.split(".")
    return parts[1] if parts[0] == "alluse_core" and len(parts) > 1 else None


def _rank(room: str) -> int | None:
    return next((rank for rank, rooms in enumerate(RANKS) if room in rooms), None)


def _core_files() -> list[Path]:
    return sorted(path for path in CORE.rglob("*.py") if path.parent != CORE or path.stem[0] != "_")


def test_every_room_of_the_core_has_its_rank() -> None:
    rooms = {path.relative_to(CORE).parts[0].removesuffix(".py") for path in _core_files()}
    assert rooms - {"testing"} == {room for rooms in RANKS for room in rooms}


@pytest.mark.parametrize("path", _core_files(), ids=lambda path: str(path.relative_to(CORE)))
def test_a_room_imports_from_the_rooms_below_it_only(path: Path) -> None:
    own = path.relative_to(CORE).parts[0].removesuffix(".py")
    if own == "testing":
        return
    for dotted in _imports(path, lazy=own != "builtin"):
        room = _room(dotted)
        if room is None or room == own or _rank(room) is None:
            continue
        if {own, room} <= set(SERVICES):
            pytest.fail(f"service {own} imports service {room}: they meet in runtime")
        assert (_rank(room) or 0) <= (_rank(own) or 0), f"{own} imports {dotted}, which is above it"


@pytest.mark.parametrize("path", _core_files(), ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_never_imports_a_plugin(path: Path) -> None:
    plugins = {f"alluse_{folder.name}" for folder in PLUGINS}
    assert not {dotted.split(".")[0] for dotted in _imports(path)} & plugins


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_imports_other_plugins_only_where_it_declares_them(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {line.split(">")[0].split("=")[0].strip() for line in project["dependencies"]}
    allowed = {name.replace("-", "_") for name in declared} | {f"alluse_{folder.name}"}
    for path in folder.glob("src/**/*.py"):
        for dotted in _imports(path):
            top = dotted.split(".")[0]
            if top.startswith("alluse_") and top != "alluse_core":
                assert top in allowed, f"{path.name} imports {dotted}, which is not declared"


def test_heavy_libraries_stay_in_the_plugin_that_needs_them() -> None:
    for path in [*_core_files(), *ROOT.glob("plugins/*/src/**/*.py")]:
        for dotted in _imports(path):
            home = HEAVY_HOMES.get(dotted.split(".")[0])
            assert home is None or home in path.parts, f"{path} imports {dotted}"


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_registering_a_plugin_imports_nothing_heavy(folder: Path) -> None:
    code = (
        f"import sys, alluse_{folder.name}.plugin\n"
        "heavy = {'numpy', 'scipy', 'sklearn', 'matplotlib', 'ib_insync', 'ib_async', 'rich',"
        " 'psutil', 'apscheduler', 'asyncio', 'sqlite3'}\n"
        "found = sorted(heavy & set(sys.modules))\n"
        "sys.exit(f'imports {found}' if found else 0)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_nothing_that_comes_from_outside_is_run() -> None:
    run = ("eval", "exec", "__import__")
    for path in _that_name(*UNSAFE, *run):
        assert not UNSAFE & {dotted.split(".")[0] for dotted in _imports(path)}, path
        called = {name for name, _ in _calls(path)}
        assert not called.intersection(run), path


def test_what_listens_does_so_on_loopback() -> None:
    found = 0
    makes = ("create_server", "start_server")
    for path in _that_name(*makes):
        for name, call in _calls(path):
            if name in makes:
                found += 1
                given = {ast.unparse(each) for each in (*call.args, *call.keywords)}
                assert given & {"'127.0.0.1'", "HOST"}, path
                assert "HOST" not in given or 'HOST = "127.0.0.1"' in path.read_text("utf-8")
    assert found == 3, "both ports of the simulated gateway and that of the heartbeat"


def _that_name(*words: str) -> list[Path]:
    """Return the sources that hold one of these words: to parse them all takes seconds."""
    sources = (*CORE.rglob("*.py"), *ROOT.glob("plugins/*/src/**/*.py"))
    wanted = re.compile(rf"\b(?:{'|'.join(words)})\b")
    return [path for path in sources if wanted.search(path.read_text("utf-8"))]


def _calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Yield what a file calls, each with the last part of its name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            yield node.func.id if isinstance(node.func, ast.Name) else node.func.attr, node


def test_no_file_names_a_place_of_one_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in tracked:
        text = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        for needle in (b"/wo" + b"rk/", b"/ro" + b"ot/", b"pypi" + b".org"):
            assert needle not in text, f"{name} holds {needle!r}"
