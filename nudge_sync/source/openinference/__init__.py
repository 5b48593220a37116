"""Traces in OpenInference's conventions: retriever spans are searches, opinions on them events.

The conventions: https://arize-ai.github.io/openinference/spec/semantic_conventions.html
"""
