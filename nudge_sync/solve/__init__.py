"""Compute where judged points should go: arrays in, arrays out, no I/O, no logging, no clock."""
