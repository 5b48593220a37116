"""Which points move, what that gains on held-out queries, and whether it may be written."""
