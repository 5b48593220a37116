"""Who clicked: the client, the session, or else the search itself."""

from __future__ import annotations

from typing import Literal

import numpy as np

from nudge_sync.base.arrays import Int32, Int64
from nudge_sync.feedback.clicks.stages import ClickContext
from nudge_sync.feedback.log.columns import ANONYMOUS, ActionSelection, Log, Strings
from nudge_sync.feedback.log.sorting import count_distinct


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


def identify_searchers(context: ClickContext) -> tuple[Int32, Int32]:
    """Return the searches that count, and one number for the person behind each, (n,) both."""
    log = context.log
    search_rows = np.flatnonzero(context.query_groups >= 0).astype(np.int32)
    people = _number_people(
        log, log.searches.client[search_rows], log.searches.session[search_rows], search_rows
    )
    return search_rows, people


def count_searchers(context: ClickContext) -> Int64:
    """Return how many different people searched for each query group, (groups,)."""
    log, query_groups = context.log, context.query_groups
    search_rows, people = identify_searchers(context)
    searchers = np.zeros(len(log.query_vectors), np.int64)
    searchers[query_groups[search_rows]] = count_distinct([query_groups[search_rows]], people)
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
