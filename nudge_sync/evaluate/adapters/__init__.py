"""Query adapters: learned from a task, and proven on a collection."""
