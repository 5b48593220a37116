"""What a search and an event are, and how people write them down."""
