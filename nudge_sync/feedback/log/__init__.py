"""The stored log, read into columns of numbers."""
