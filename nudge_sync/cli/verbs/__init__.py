"""One module a verb: its options, what it does, and how its result is printed."""
