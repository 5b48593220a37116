"""Writing a plan in two phases, undoing it, and finishing what a crash left."""
