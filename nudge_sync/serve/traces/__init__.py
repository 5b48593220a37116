"""Traces over HTTP: POST /v1/traces, as OpenTelemetry's exporters send them."""
