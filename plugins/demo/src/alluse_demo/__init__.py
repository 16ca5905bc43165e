"""The one-minute demo against the simulated gateway."""
