"""Searches and events: what they are, how they are stored, and how people write them down."""
