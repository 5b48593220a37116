"""A console over a sample collection, and browsers that are signed in to it."""
