"""The six alert rules and the trading pack."""
