"""Exact LRU quote cache with per-entry deadlines."""
