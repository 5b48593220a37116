"""What the daemon does for each collection, when, and what came of it."""
