"""Tools that know nothing of vectors or databases: progress, threads, signals, files."""
