"""Tools for tests, of nudge-sync and of any connector.

`conformance` is the kit that a connector has to pass; `memory`, `counted` and `faults` are
databases to try things on.
"""
