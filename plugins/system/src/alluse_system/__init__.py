"""Process and host metrics from psutil."""
