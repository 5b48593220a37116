"""Collections in which nothing is new since the last cycle, found without reading the feedback.

What a cycle does follows from the feedback, the settings, the ledger and the vectors. Whatever
nudge-sync stores says when, so that a short range of an index shows it, and what is erased or added
otherwise changes how many records there are: the database knows that, or they are counted. Vectors
and records that somebody wrote in place change no number: a full cycle, one a day at least, finds
those.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from nudge_sync.config import CollectionSettings, Config
from nudge_sync.connector import CollectionFacts, Where, find_size
from nudge_sync.errors import Unauthorised
from nudge_sync.serve.jobs.outcomes import CycleOutcome
from nudge_sync.store.checksum import digest_json
from nudge_sync.store.erasure import read_erasure_state
from nudge_sync.store.feedback.stamped_records import EARLIEST_STAMP, SETTLING_MS, STORED_AT_FIELD
from nudge_sync.store.hold import read_hold
from nudge_sync.store.ledger import Revision, find_candidate, find_pending_revisions, now_ms
from nudge_sync.store.retry import retry_transient
from nudge_sync.store.schema import LAST_MOMENT
from nudge_sync.store.target import Companion, Target, list_companions

REPEATABLE_OUTCOMES: frozenset[CycleOutcome] = frozenset({"applied", "unchanged", "refused"})
"""Those after which another cycle over the same would write nothing."""
_MS_PER_DAY = 86_400_000
_OF_THE_LOG: tuple[Companion, Companion] = ("queries", "events")


@dataclass(frozen=True, slots=True)
class CollectionState:
    """All that a cycle depends on and that numbers show; equal before and after: nothing new."""

    settings: str
    """A digest of the collection's settings and of the database's address."""
    facts: CollectionFacts
    day: int
    """Days since 1970: what `feedback.history_days` and half-lives leave out changes with it."""
    revisions: tuple[tuple[int, str, int], ...]
    """Number, state and generation of each."""
    erasures: int
    searches: int
    events: int
    sizes: tuple[int, int] | None = field(compare=False)
    """Of both, as the database knew them without counting; None where it does not. They may differ
    where both are the same."""


@dataclass(frozen=True, slots=True)
class _LastCycle:
    state: CollectionState
    began_at: int
    """Milliseconds since 1970."""
    outcome: CycleOutcome


@dataclass
class IdleCollections:
    """Remembers the last cycle of each collection while the process runs."""

    settling_ms: int = SETTLING_MS
    _last_cycles: dict[str, _LastCycle] = field(default_factory=dict)

    def find_state(self, name: str) -> CollectionState | None:
        """Return what the collection was at the last cycle, or when it was last found the same."""
        last = self._last_cycles.get(name)
        return last.state if last is not None else None

    def find_outcome(self, name: str, state: CollectionState | None) -> CycleOutcome | None:
        """Return how the last cycle ended if nothing but feedback can be new since; else None."""
        last = self._last_cycles.get(name)
        if state is None or last is None or state != last.state:
            return None
        # Its sizes are the newer ones: until they change again, nothing has to be counted.
        self._last_cycles[name] = replace(last, state=state)
        return last.outcome

    def has_new_feedback(self, name: str, target: Target) -> bool:
        """Return whether a search or an event was stored since the last cycle began, or not long
        before. It may have taken the place of one with the same key, which no other count shows.
        """
        since = float(self._last_cycles[name].began_at - self.settling_ms)
        return any(_count(target, {STORED_AT_FIELD: (since, float(LAST_MOMENT))}))

    def remember(
        self, name: str, state: CollectionState | None, began_at: int, outcome: CycleOutcome
    ) -> None:
        """Keep how a cycle ended.

        state: with what was counted before the cycle, and the ledger as it left it.
        """
        self._last_cycles.pop(name, None)
        if state is not None and outcome in REPEATABLE_OUTCOMES:
            self._last_cycles[name] = _LastCycle(state, began_at, outcome)


def read_state(
    target: Target,
    config: Config,
    settings: CollectionSettings,
    former: CollectionState | None = None,
) -> CollectionState | None:
    """Return the state of a collection; None where numbers do not show it, or work waits.

    An application's own log can only be read, and a record without the time at which it was stored
    may have changed.
    former: an earlier state; where the database knows of as many records as then, they are not
    counted again.
    Raises DatabaseError, DamagedRecord.
    """
    if settings.feedback.searches is not None or settings.feedback.events is not None:
        return None
    erasure = read_erasure_state(target)
    if erasure.is_pending or read_hold(target) is not None:
        return None
    entries = target.open_ledger().entries()
    if find_pending_revisions(entries) or find_candidate(entries) is not None:
        return None
    # Sizes first: a record that comes in between is counted now, or found new the next time.
    sizes = _find_sizes(target)
    counts: tuple[int, int] | None
    if former is not None and sizes is not None and sizes == former.sizes:
        counts = former.searches, former.events
    else:
        counts = _count_stamped(target)
    if counts is None:
        return None
    return CollectionState(
        settings=digest_json([config.database, settings.model_dump(mode="json")]),
        facts=target.facts,
        day=now_ms() // _MS_PER_DAY,
        revisions=_list_revisions(entries),
        erasures=erasure.asked,
        searches=counts[0],
        events=counts[1],
        sizes=sizes,
    )


def _find_sizes(target: Target) -> tuple[int, int] | None:
    """Return the sizes of searches and events, without counting; None where they are not known."""
    names = list_companions(target)
    try:
        searches, events = (
            retry_transient(
                partial(find_size, target.database, names[companion]), patience=target.patience
            )
            for companion in _OF_THE_LOG
        )
    except Unauthorised:
        return None
    return None if searches is None or events is None else (searches, events)


def _count_stamped(target: Target) -> tuple[int, int] | None:
    """Return how many searches and events there are; None where one has no time of storage."""
    counts = _count(target, None, {STORED_AT_FIELD: (EARLIEST_STAMP, float(LAST_MOMENT))})
    return (counts[0], counts[1]) if counts[:2] == counts[2:] else None


def _count(target: Target, *conditions: Where | None) -> list[int]:
    """Return how many searches, and how many events, match each of some conditions."""
    counts = [
        partial(records.count, where)
        for where in conditions
        for records in (target.queries, target.events)
    ]
    # On Milvus each count waits for the server's clock to tick: together they wait once.
    with ThreadPoolExecutor(min(len(counts), target.facts.parallel_calls)) as pool:
        return list(pool.map(lambda count: count(), counts))


def update_revisions(state: CollectionState | None, target: Target) -> CollectionState | None:
    """Return the state with the ledger as it is now."""
    if state is None:
        return None
    return replace(state, revisions=_list_revisions(target.open_ledger().entries()))


def _list_revisions(entries: Sequence[Revision]) -> tuple[tuple[int, str, int], ...]:
    return tuple((entry.number, entry.state, entry.generation) for entry in entries)
