"""Telling people and programs elsewhere what the daemon decided."""
