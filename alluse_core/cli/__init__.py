"""The ``alluse`` command."""

from alluse_core.cli.main import main

__all__ = ["main"]
