"""Feedback fetched from where it lies: `feedback pull`, and the sources of the daemon."""
