"""Vectors for searches that come with a text alone: who makes them, which are stored already."""
