"""What people do with the arms of an experiment, and what follows from it."""
