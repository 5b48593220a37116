"""Tools that know nothing of the domain: progress, threads, signals, arrays, files."""
