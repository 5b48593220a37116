"""The tests; CONTRIBUTING.md says which kind proves what."""
