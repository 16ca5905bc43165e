"""The long gates: what ``make test`` shows in short, run for as long as there is time."""
