"""ALL-USE: what stands between a trading agent and its broker."""

from alluse_core.markers import hookimpl, hookspec
from alluse_core.providers import Command, Context, Provider

__all__ = ["Command", "Context", "Provider", "hookimpl", "hookspec"]
