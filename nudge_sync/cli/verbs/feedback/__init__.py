"""One module a verb below `feedback`."""
