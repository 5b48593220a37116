"""The daemon: schedules, probes, metrics and the HTTP interface for feedback."""
