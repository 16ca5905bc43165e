"""Registers alluse-report with ALL-USE."""
