"""What ``make bench`` runs: ratios to peers, measured side by side in one run."""
