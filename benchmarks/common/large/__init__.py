"""A large made-up collection on each engine, for million_points.py."""
