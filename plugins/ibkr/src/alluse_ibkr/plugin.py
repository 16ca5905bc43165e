"""Registers alluse-ibkr with ALL-USE."""
