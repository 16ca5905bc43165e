"""Registers alluse-risk with ALL-USE."""
