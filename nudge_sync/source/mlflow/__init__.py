"""MLflow 3: retriever spans of traces, and the assessments of traces and spans."""
