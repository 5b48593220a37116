"""Langfuse in tests: its own client, and a server that takes what that sends."""
