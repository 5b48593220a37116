"""Arize Phoenix: retriever spans, and annotations of spans and of their documents."""
