"""Registers alluse-demo with ALL-USE."""
