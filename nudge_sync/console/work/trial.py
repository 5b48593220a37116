"""One search, logged or typed, tried on the originals, on what is live, and on the plan."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from nudge_sync.base.progress import Progress
from nudge_sync.config import CollectionSettings
from nudge_sync.errors import ConfigError, InputError
from nudge_sync.evaluate.inspection.rank_states import StateRankings, rank_states
from nudge_sync.feedback.embedding.providers import open_embedder
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.schema.records import parse_search_record
from nudge_sync.feedback.schema.values import BadRow, parse_vector
from nudge_sync.planning.plan import Plan
from nudge_sync.store.target import Target

TRIAL_DEPTH = 10
MAX_SCANNED_SEARCHES = 20_000
"""Searches that are looked through for a text; those beyond are found by their id alone."""
MAX_LISTED_SEARCHES = 30


@dataclass(frozen=True, slots=True)
class ListedSearch:
    """A logged search to choose from."""

    query_id: str
    text: str


@dataclass(frozen=True, slots=True)
class SearchTrial:
    """A search and its results in each state of the collection."""

    search: ListedSearch
    shown: tuple[int | str, ...]
    """What people were shown when they asked it, best first; empty where that is not logged."""
    rankings: StateRankings


def list_searches(target: Target, settings: CollectionSettings, text: str) -> list[ListedSearch]:
    """Return logged searches whose text or id holds `text`, in any case.

    `MAX_LISTED_SEARCHES` at most, of the first `MAX_SCANNED_SEARCHES` that the database lists.
    """
    queries = open_feedback(target, settings.feedback).queries
    wanted = text.casefold()
    scanned = (record for batch in queries.scan(vectors=False) for record in batch)
    searches = (
        ListedSearch(record.key, str(record.document.get("text") or ""))
        for record in islice(scanned, MAX_SCANNED_SEARCHES)
    )
    matches = (
        search
        for search in searches
        if wanted in search.text.casefold() or wanted in search.query_id.casefold()
    )
    return list(islice(matches, MAX_LISTED_SEARCHES))


def try_text(
    target: Target,
    settings: CollectionSettings,
    text: str,
    plan: Plan | None,
    progress: Progress,
) -> SearchTrial:
    """Return what a text that nobody need have searched for answers in each state; write nothing.

    Raises ConfigError where `embed` of [feedback] is not set, InputError where the text is not
    embedded to a vector of the collection's dimension, SourceUnreachable, and DatabaseError.
    """
    if settings.feedback.embed is None:
        raise ConfigError("set `embed` of [feedback] to try texts of your own")
    embedder = open_embedder(settings.feedback.embed)
    vectors = embedder.embed([text])
    if text in embedder.refusals:
        raise InputError(embedder.refusals[text])
    try:
        vector = parse_vector(vectors[text], target.facts.dimension)
    except BadRow as bad:
        raise InputError(f"{embedder.name}: {bad}") from None
    rankings = rank_states(target, vector, plan, depth=TRIAL_DEPTH, progress=progress)
    return SearchTrial(ListedSearch("", text), (), rankings)


def try_search(
    target: Target,
    settings: CollectionSettings,
    query_id: str,
    plan: Plan | None,
    progress: Progress,
) -> SearchTrial:
    """Return what the logged search `query_id` answers in each state; write nothing.

    Raises InputError where there is no such search, or its vector has another dimension than those
    of the collection, and DatabaseError.
    """
    queries = open_feedback(target, settings.feedback).queries
    for record in queries.get([query_id]):
        search = parse_search_record(record)
        if len(search.vector) != target.facts.dimension:
            raise InputError(
                f"search {query_id!r} has a vector of {len(search.vector)} numbers, and those of "
                f'"{target.facts.collection}" have {target.facts.dimension}: it was embedded by a '
                "former model. `nudge-sync feedback import --embed` embeds it again"
            )
        rankings = rank_states(target, search.vector, plan, depth=TRIAL_DEPTH, progress=progress)
        return SearchTrial(ListedSearch(query_id, search.text), search.shown, rankings)
    raise InputError(f"there is no logged search {query_id!r}")
