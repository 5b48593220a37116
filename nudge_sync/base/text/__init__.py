"""Numbers as text that people read."""
