"""Experiments on live traffic: two states of a collection, searched at once and compared."""
