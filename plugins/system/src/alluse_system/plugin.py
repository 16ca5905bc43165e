"""Registers alluse-system with ALL-USE."""
