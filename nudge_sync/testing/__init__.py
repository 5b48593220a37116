"""For tests, of nudge-sync and of anybody's connector: the conformance kit, and databases to try
things on.
"""
