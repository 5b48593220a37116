"""Formats of feedback files, one a module: each turns bytes into rows as they are written."""
