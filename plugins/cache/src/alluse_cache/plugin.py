"""Registers alluse-cache with ALL-USE."""
