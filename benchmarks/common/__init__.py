"""What several benchmarks share: data, trials, simulated people, engines of a write rate."""
