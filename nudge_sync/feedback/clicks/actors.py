"""Who clicked: the client, the session, or else the search itself."""

from __future__ import annotations

from typing import Literal

import numpy as np

from nudge_sync.base.arrays import Int32, Int64
from nudge_sync.base.partitions import Partitions, count_partitions, spread
from nudge_sync.base.spooled import read_parts
from nudge_sync.feedback.clicks.stages import ClickContext
from nudge_sync.feedback.log.columns import ANONYMOUS, ActionSelection, Log
from nudge_sync.feedback.log.sorting import order_rows
from nudge_sync.feedback.log.strings import Strings


def anonymous_code(names: Strings) -> int:
    """Return the row of `names`, sorted, that stands for no name at all, or -1."""
    return 0 if names and names[0] == ANONYMOUS else -1


def resolve_clients(log: Log, clicks: ActionSelection) -> Int32:
    """Return the client of each click, (e,): its own, or that of its search where it names none."""
    return _resolve(clicks.client, log.searches.client[clicks.search], log.client_ids)


def resolve_sessions(log: Log, clicks: ActionSelection) -> Int32:
    """Return the session of each click, (e,): its own, or its search's where it names none."""
    return _resolve(clicks.session, log.searches.session[clicks.search], log.session_ids)


def identify_people(log: Log, clicks: ActionSelection) -> Int32:
    """Return one number a person, (e,): the client if known, else the session, else the search."""
    return _number_people(
        log, resolve_clients(log, clicks), resolve_sessions(log, clicks), clicks.search
    )


def number_assigned(log: Log, unit: Literal["session", "client"]) -> Int32:
    """Return one number, from 0, for each session or client that searched, (s,).

    A search that names none is one of its own.
    """
    names = log.session_ids if unit == "session" else log.client_ids
    actors = log.searches.session if unit == "session" else log.searches.client
    own_numbers = len(names) + np.arange(len(actors))
    numbers = np.where(actors == anonymous_code(names), own_numbers, actors)
    return np.unique(numbers, return_inverse=True)[1].astype(np.int32)


def number_searchers(context: ClickContext, part: slice) -> tuple[Int32, Int32]:
    """Return the searches of a part that count, and one number for the person behind each, (n,)."""
    log = context.log
    rows = part.start + np.flatnonzero(context.query_groups[part] >= 0).astype(np.int32)
    return rows, _number_people(log, log.searches.client[rows], log.searches.session[rows], rows)


def count_searchers(context: ClickContext) -> Int64:
    """Return how many different people searched for each query group, (groups,)."""
    log, query_groups = context.log, context.query_groups
    searchers = np.zeros(len(log.query_vectors), np.int64)
    by_person = Partitions(count_partitions(len(query_groups)), [np.int32, np.int32])
    for part in read_parts(len(query_groups)):
        rows, people = number_searchers(context, part)
        by_person.add(spread(people, len(by_person)), query_groups[rows], people)
    for query_group, people in by_person:
        order, is_new = order_rows([query_group, people])
        searchers += np.bincount(query_group[order[is_new]], minlength=len(searchers))
    return searchers


def _resolve(click_actors: Int32, search_actors: Int32, names: Strings) -> Int32:
    is_anonymous = click_actors == anonymous_code(names)
    return np.where(is_anonymous, search_actors, click_actors).astype(np.int32)


def _number_people(log: Log, client: Int32, session: Int32, search: Int32) -> Int32:
    session_offset = len(log.client_ids)
    search_offset = session_offset + len(log.session_ids)
    by_session = np.where(
        session != anonymous_code(log.session_ids), session_offset + session, search_offset + search
    )
    return np.where(client != anonymous_code(log.client_ids), client, by_session).astype(np.int32)
