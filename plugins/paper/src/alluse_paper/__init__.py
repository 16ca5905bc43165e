"""Simulated exchange, in-process broker, accounts."""
