"""Collections on which nudging harms documents without feedback."""
