"""Registers alluse-alerts with ALL-USE."""
