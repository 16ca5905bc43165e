"""Pre-trade controls and the kill switch as order stages."""
