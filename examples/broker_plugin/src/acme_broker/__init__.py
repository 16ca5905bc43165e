"""A broker plugin for ALL-USE, to copy and rename."""
