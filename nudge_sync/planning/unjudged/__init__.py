"""The unjudged points near each query: read or searched, and how many of them a search misses."""
