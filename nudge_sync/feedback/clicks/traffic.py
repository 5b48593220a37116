"""How much more a query counts that many people ask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64
from nudge_sync.base.partitions import Partitions, count_partitions, spread
from nudge_sync.base.spooled import read_parts
from nudge_sync.feedback.clicks.actors import number_searchers
from nudge_sync.feedback.clicks.stages import ClickContext
from nudge_sync.feedback.log.sorting import order_rows

MAX_TRAFFIC_WEIGHT = 5.0
"""The most that a query may count for, where an average one counts 1: what somebody can gain who
invents people."""


def measure_traffic(context: ClickContext, decay_factors: Float64) -> Float64:
    """Return the traffic of each query group, (groups,): how many different people searched for it.

    decay_factors: (s,). Each person counts with the factor of their latest search that counts;
    somebody who asks again and again counts once, and a bot not at all.
    """
    query_groups, traffic = context.query_groups, np.zeros(len(context.log.query_vectors))
    by_group = Partitions(count_partitions(len(query_groups)), [np.int32, np.int32, np.float64])
    for part in read_parts(len(query_groups)):
        rows, people = number_searchers(context, part)
        groups = query_groups[rows]
        by_group.add(spread(groups, len(by_group)), groups, people, decay_factors[rows])
    for group, people, factor in by_group:
        order, is_new = order_rows([group, people])
        starts = np.flatnonzero(is_new)
        if len(starts):
            # All searches of a group are in one partition, so that the parts change no bit.
            np.add.at(traffic, group[order][starts], np.maximum.reduceat(factor[order], starts))
    return traffic


def weigh_traffic(
    traffic: Float64, query: NDArray[np.integer], counted: NDArray[np.bool_], exponent: float
) -> Float64:
    """Return what the traffic of its query multiplies the weight of each pair by, (p,).

    traffic, query, counted: (p,), of each pair: that of its query, which query that is, and whether
    the pair counts.
    t^exponent over its mean among the queries with a pair that counts, at most MAX_TRAFFIC_WEIGHT:
    the mean stays 1, so that points are held to their originals as firmly as without.
    """
    first_rows = np.unique(query[counted], return_index=True)[1]
    if exponent == 0 or not len(first_rows):
        return np.ones(len(traffic))
    raised = traffic**exponent
    mean = float(raised[counted][first_rows].mean())
    return np.asarray(np.minimum(raised / mean, MAX_TRAFFIC_WEIGHT))
