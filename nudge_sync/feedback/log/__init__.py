"""The log of searches and events, read from records into columns of numbers."""
