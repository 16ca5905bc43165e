"""Registers the demo's command with ALL-USE."""

from collections.abc import Iterator

from alluse_core import Command, hookimpl


@hookimpl
def alluse_commands() -> Iterator[Command]:
    """Offer ``alluse demo``."""
    yield Command(
        "demo", "A minute of everything, against a simulated IB Gateway.", "alluse_demo.cli:demo"
    )
