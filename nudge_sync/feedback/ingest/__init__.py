"""Files and streams of feedback into the sidecar's own collections."""
