"""What must work where only the wheels are installed. Run by build.py, not by pytest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import alluse_core


def alluse(*args: str) -> str:
    """Run the installed command and return what it printed to stdout."""
    command = [str(Path(sys.executable).with_name("alluse")), *args]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if finished.returncode:
        sys.exit(f"{' '.join(command)}: exit {finished.returncode}\n{finished.stderr}")
    return finished.stdout


def main() -> None:
    """Load every plugin, run the demo shortly, and read back what it left."""
    if "site-packages" not in alluse_core.__file__:
        sys.exit(f"imported the checkout: {alluse_core.__file__}")
    plugins = json.loads(alluse("plugins", "list", "--json"))
    failed = [plugin for plugin in plugins if plugin["state"] != "loaded"]
    if failed or len(plugins) < 11:
        sys.exit(f"plugins: {plugins}")
    scenarios = alluse("gateway", "--scenarios").splitlines()
    if not any(line.startswith("nightly-restart ") for line in scenarios):
        sys.exit(f"scenarios of the gateway: {scenarios}")
    alluse("demo", "--seconds", "8", "--out", "demo", "--json")
    verified = json.loads(alluse("journal", "verify", "--out", "demo", "--json"))
    if not verified["ok"]:
        sys.exit(f"journal: {verified}")
    for name in ("dashboard.png", "report.json", "summary.json", "summary.md"):
        if not (Path("demo") / name).stat().st_size:
            sys.exit(f"{name} is empty")
    print("smoke: ok")


if __name__ == "__main__":
    main()
