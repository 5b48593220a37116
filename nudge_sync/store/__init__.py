"""What stands in the user's database beside the collection, and what it proves."""
