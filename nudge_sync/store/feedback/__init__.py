"""How searches and events are stored, and their blocks."""
