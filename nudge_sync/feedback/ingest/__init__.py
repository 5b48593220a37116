"""Import of feedback from files, streams and HTTP batches into the sidecar's collections."""
