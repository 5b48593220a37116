"""Feedback sources in tests: broken ones, and real products filled by their own clients."""
