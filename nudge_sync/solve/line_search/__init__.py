"""The exact line search: a metric as a step function of one angle."""
