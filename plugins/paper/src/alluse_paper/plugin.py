"""Registers alluse-paper with ALL-USE."""
