"""Worker processes of a real cluster, and tasks for them that last, fail or kill."""
