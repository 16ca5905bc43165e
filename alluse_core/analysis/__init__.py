"""The analysis cycle, its windows and the grade; the methods themselves are plugins."""
