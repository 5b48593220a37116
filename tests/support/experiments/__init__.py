"""Experiments for tests: an overlay in place, and the same collection searched by brute force."""
