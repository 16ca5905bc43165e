"""Statistics, trends, anomalies and forecasts."""
