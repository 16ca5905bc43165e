"""Registers alluse-gateway with ALL-USE."""
