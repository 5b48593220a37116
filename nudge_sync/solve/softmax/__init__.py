"""The sums over a query's softmax that NUDGE-C climbs by.

`dense` scores all pairs of a query and a point; `sampled` the pairs in the `cells` that a query
looks into, and a sample of the others; `joint_scores` keeps points that stay as one.
"""
