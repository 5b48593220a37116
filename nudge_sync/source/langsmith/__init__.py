"""LangSmith: retriever runs of a project, and the feedback on its runs."""
