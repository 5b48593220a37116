"""Experiments on live traffic: two arms, what people do with each, and what follows from it."""
