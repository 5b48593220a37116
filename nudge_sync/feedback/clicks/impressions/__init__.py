"""What was shown, and what of it was clicked.

`single` lists impressions one by one, `counts` sums them by query group, point, rank and distance
to the last click above, and `pairs` joins what belongs to one query group and one point.
"""
