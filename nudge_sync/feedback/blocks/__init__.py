"""Closed days of the log, kept as columns so that their records need not be read again."""
