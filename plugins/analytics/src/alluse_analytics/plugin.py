"""Registers alluse-analytics with ALL-USE."""
