"""The exact line search: the metric of each query as a step function of one angle.

`paths` says how points move with the angle t, `curves` how scores follow (a cos t + b sin t),
`crossings` where two scores change places, and `step_function` what that does to the metric.
"""
