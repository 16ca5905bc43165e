"""Interactive Brokers over ib_insync (or ib_async)."""
