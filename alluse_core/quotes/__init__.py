"""Market data for the agent: a fresh quote is a memory read, a miss is asked for once."""

from alluse_core.quotes.service import Quotes

__all__ = ["Quotes"]
