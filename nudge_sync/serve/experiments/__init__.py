"""Experiments over HTTP: POST /v1/rank and /v1/search."""
