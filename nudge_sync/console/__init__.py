"""The console: pages on which people look at a collection, a plan and its feedback, and act."""
