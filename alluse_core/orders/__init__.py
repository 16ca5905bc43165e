"""The way of an order: pipeline, states, journal, pacing and outcomes."""
