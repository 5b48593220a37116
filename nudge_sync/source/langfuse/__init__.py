"""Langfuse: retriever observations and scores, from its public API or from its blob exports."""
