"""Registers the simulation's command with ALL-USE."""

from collections.abc import Iterator

from alluse_core import Command, hookimpl


@hookimpl
def alluse_commands() -> Iterator[Command]:
    """Offer ``alluse torture``."""
    yield Command(
        "torture",
        "Trade through seeded faults in virtual time, and compare with the broker's ledger.",
        "alluse_sim.cli:command",
    )
