"""Dashboard PNG, JSON report and executive summary."""
