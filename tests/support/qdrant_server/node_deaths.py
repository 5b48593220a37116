"""Nodes of a cluster that die while a sidecar works on it, and what that costs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Timer
from typing import Any

from qdrant_client.models import Distance, PointStruct, VectorParams

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, WriteSettings
from nudge_sync.connector import Database, Float32, connect
from nudge_sync.errors import NudgeSyncError
from nudge_sync.feedback.erase import FeedbackSelector, erase_feedback
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.store.lease import break_lease, hold_lease
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.upkeep.gc import collect_garbage, sweep_leftovers
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import WRITES, Faults, FaultyDatabase
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.passing_plan import make_passing_plan
from tests.support.qdrant_server.cluster import QdrantCluster
from tests.support.qdrant_server.replicas import find_differing_points
from tests.support.unit_vectors import make_unit_rows, perturb_rows

POINTS, DIMENSION, SHARDS, REPLICAS = 500, 16, 4, 2
VERBS = ("apply", "import", "rollback", "apply", "gc", "forget")
CLIENTS = 5
SEARCHES = 40
"""Searches of one import."""
SETTINGS = CollectionSettings(write=WriteSettings(batch_size=40, keep_revisions=2))
_COUNTED = WRITES | {"read", "get", "count"}
"""Calls at any of which a node may die."""


@dataclass
class NodeDeathReport:
    """What the deaths cost."""

    kills: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By the verb that was running, and by the node's number."""
    completed: Counter[str] = field(default_factory=Counter)
    """Verbs that went on and ended well although a node died in the middle."""
    given_up: list[str] = field(default_factory=list)
    """What the verbs said that did not."""
    cycles_without_a_node: int = 0
    """Cycles that began while a node was dead, and ended well."""
    replaced: int = 0
    """Dead nodes that were replaced by empty ones; the others came back."""
    lost: int = 0
    """Originals, and feedback whose import was reported, that are gone."""
    differing: int = 0
    """Points of which two replicas held different bits once the cluster was at rest."""
    failures: list[str] = field(default_factory=list)
    """Everything else that was not as it should be."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, and nothing differed."""
        return not (self.lost or self.differing or self.failures)


class NodeDeathRunner:
    """A collection of four shards with two replicas each, and a node that dies in every round."""

    def __init__(self, cluster: QdrantCluster, seed: int = 0) -> None:
        self.cluster = cluster
        self.report = NodeDeathReport()
        self.originals: Float32 = make_unit_rows(POINTS, DIMENSION, seed)
        self._random = random.Random(seed)
        self._round_number = 0
        self._calls: Counter[str] = Counter(dict.fromkeys(VERBS, 12))
        """How many calls each verb made the last time."""
        self._clients_by_search: dict[str, int] = {}
        """The searches that are stored, by all that was reported."""
        self._unsure_searches: set[str] = set()
        """Searches of a verb that gave up: stored or not."""
        self._fill()

    def _fill(self) -> None:
        database: Any = self._connect(0)
        client = database.connection.client
        client.create_collection(
            "docs",
            VectorParams(size=DIMENSION, distance=Distance.COSINE),
            shard_number=SHARDS,
            replication_factor=REPLICAS,
        )
        self.cluster.wait_until_healthy()
        client.upsert("docs", _to_structs(range(POINTS), self.originals), wait=True)
        # A cosine collection may change the last bits: what it holds now is the application's.
        self.originals = database.collection("docs").read(range(POINTS)).vectors
        database.close()

    def kill_once(self) -> str:
        """Let a node die within one verb, run a cycle without it, bring it back and compare.

        Returns what happened, in a few words.
        """
        failures = len(self.report.failures)
        verb = VERBS[self._round_number % len(VERBS)]
        self._round_number += 1
        victim, addressed = self._random.randrange(3), self._random.randrange(3)
        self._run_verb_while_node_dies(verb, victim, addressed)
        spare = addressed if addressed != victim else (victim + 1) % 3
        if not self.cluster.nodes[victim].is_running:
            self._run_cycle_without_a_node(spare)
            self._bring_back(victim)
        self.cluster.wait_until_healthy()
        self._resume_and_compare(spare, verb)
        new_failures = "; ".join(self.report.failures[failures:]) or "all is well"
        return f"{verb} through node {addressed + 1}, node {victim + 1} dead: {new_failures}"

    def _run_verb_while_node_dies(self, verb: str, victim: int, addressed: int) -> None:
        strike = self._build_strike(verb, victim, addressed)
        faults = Faults(
            1 + self._random.randrange(self._calls[verb]), "before", strike, only=_COUNTED
        )
        struck_before = self.report.kills.total()
        database = self._connect(addressed)
        try:
            self._verbs()[verb](open_target(FaultyDatabase(database, faults), "docs"))
        except NudgeSyncError as error:
            self._note_error(verb, error, is_addressed=victim == addressed)
        else:
            self.report.completed[verb] += self.report.kills.total() > struck_before
        finally:
            strike.wait()
            self._calls[verb] = max(len(faults.calls), 2)
            database.close()

    def _note_error(self, verb: str, error: NudgeSyncError, *, is_addressed: bool) -> None:
        """Keep what a verb said. Only the one whose own node is gone may give up, and say so."""
        said = f"{verb}: {type(error).__name__}: {error}"
        if is_addressed and error.transient:
            self.report.given_up.append(said)
        else:
            self.report.failures.append(said)

    def _build_strike(self, verb: str, victim: int, addressed: int) -> _Strike:
        def kill() -> None:
            self.cluster.kill(victim)
            self.report.kills[verb, victim] += 1

        # Half of the nodes that the sidecar itself speaks to come back while it waits.
        comes_back = victim == addressed and self._random.random() < 0.5
        delay = self._random.choice([0.0, self._random.uniform(0.0, 0.05)])
        return _Strike(kill, delay, (lambda: self.cluster.restart(victim)) if comes_back else None)

    def _verbs(self) -> Mapping[str, Callable[[Target], object]]:
        return {
            "apply": self._apply,
            "rollback": lambda target: roll_back(
                target, SETTINGS, originals=self._round_number % 2 == 0
            ),
            "gc": _collect_all_garbage,
            "import": self._import_searches,
            "forget": self._forget_client,
        }

    def _apply(self, target: Target) -> None:
        rows = self._random.sample(range(POINTS), 120)
        vectors = perturb_rows(self.originals, 1000 + self._random.randrange(10**6))
        new_vectors = {row: vectors[row] for row in rows}
        cycle.apply(target, SETTINGS, make_passing_plan(target, SETTINGS, new_vectors))

    def _import_searches(self, target: Target) -> None:
        numbers = range(self._round_number * SEARCHES, (self._round_number + 1) * SEARCHES)
        clients_by_search = {f"q{number}": number % CLIENTS for number in numbers}
        self._unsure_searches |= clients_by_search.keys()
        rows = [_build_search_row(name, who) for name, who in clients_by_search.items()]
        source = Source(lambda: iter(rows), lambda: len(rows))
        destination = Destination(target.queries, target.events, target.collection)
        report = import_rows([source], destination, batch_size=10)
        if report.accepted != len(rows):
            self.report.failures.append(f"import took {report.accepted} of {len(rows)} rows")
        self._unsure_searches -= clients_by_search.keys()
        self._clients_by_search |= clients_by_search

    def _forget_client(self, target: Target) -> None:
        client = self._random.randrange(CLIENTS)
        names = {name for name, who in self._clients_by_search.items() if who == client}
        for name in names:
            del self._clients_by_search[name]
        self._unsure_searches |= names
        erase_feedback(target, FeedbackSelector(client=f"c{client}"))
        self._unsure_searches -= names
        left = sum(len(batch) for batch in target.queries.scan({"client_id": f"c{client}"}))
        if left:
            self.report.failures.append(f"forget left {left} searches")

    def _run_cycle_without_a_node(self, addressed: int) -> None:
        database = self._connect(addressed)
        try:
            target = open_target(database, "docs")
            break_lease(target)
            resume(target, SETTINGS)
            self._apply(target)
            self.report.cycles_without_a_node += 1
        except NudgeSyncError as error:
            self.report.failures.append(f"a cycle without a node: {type(error).__name__}: {error}")
        finally:
            database.close()

    def _bring_back(self, victim: int) -> None:
        if self._round_number % 4 == 0:
            self.cluster.replace(victim)
            self.report.replaced += 1
        else:
            self.cluster.restart(victim)

    def _resume_and_compare(self, addressed: int, verb: str) -> None:
        database = self._connect(addressed)
        try:
            target = open_target(database, "docs")
            break_lease(target)
            resume(target, SETTINGS)
            self._compare_originals(target)
            self._compare_feedback(target)
            report = verify(target)
            if not report.is_clean or report.missing:
                self.report.failures.append(f"after {verb}: {report}")
            if self._round_number % 5 == 0:
                self.restore_originals(target)
            self._compare_replicas()
            self._rewrite_vectors(database)
        except NudgeSyncError as error:
            self.report.failures.append(f"after {verb}: {type(error).__name__}: {error}")
        finally:
            database.close()

    def _compare_originals(self, target: Target) -> None:
        points = classify_points(target, range(POINTS))
        known = dict(zip(points.ids, points.originals, strict=True))
        self.report.lost += sum(
            row not in known or known[row].tobytes() != self.originals[row].tobytes()
            for row in range(POINTS)
        )

    def _compare_feedback(self, target: Target) -> None:
        stored = {record.key for batch in target.queries.scan(vectors=False) for record in batch}
        self.report.lost += len(self._clients_by_search.keys() - stored - self._unsure_searches)
        if spurious := stored - self._clients_by_search.keys() - self._unsure_searches:
            self.report.failures.append(f"{len(spurious)} searches came back after forget")

    def _compare_replicas(self) -> None:
        for name in self.cluster.list_collections():
            differing = find_differing_points(self.cluster, name)
            self.report.differing += len(differing)
            self.report.failures += differing[:3]

    def _rewrite_vectors(self, database: Any) -> None:
        """Embed three points again, as the application does now and then."""
        rows = self._random.sample(range(POINTS), 3)
        vectors = make_unit_rows(3, DIMENSION, 10_000 + self._round_number)
        database.connection.client.upsert("docs", _to_structs(rows, vectors), wait=True)
        self.originals = self.originals.copy()
        self.originals[rows] = database.collection("docs").read(rows).vectors

    def restore_originals(self, target: Target) -> None:
        """Roll everything back, and compare every bit."""
        roll_back(target, SETTINGS, originals=True)
        live = target.collection.read(range(POINTS)).vectors
        differing = int((live != self.originals).any(axis=1).sum())
        if differing:
            self.report.failures.append(f"{differing} rows not identical after a rollback")

    def finish(self) -> NodeDeathReport:
        """Roll back to the originals a last time, and return the report."""
        database = self._connect(0)
        self.restore_originals(open_target(database, "docs"))
        self._compare_replicas()
        database.close()
        return self.report

    def _connect(self, addressed: int) -> Database:
        return connect("qdrant", self.cluster.nodes[addressed].section | {"timeout": 20})


class _Strike:
    """Kills a node when it is called, or a moment later, and may start it again after a while."""

    def __init__(
        self, kill: Callable[[], None], delay: float, restart: Callable[[], None] | None
    ) -> None:
        self._kill = kill
        self._delay = delay
        self._restart = restart
        self._timers: list[Timer] = []

    def __call__(self) -> None:
        """Kill at once, or start a timer; the caller goes on meanwhile."""
        if self._delay:
            self._start_timer(self._delay, self._kill)
        else:
            self._kill()
        if self._restart is not None:
            self._start_timer(self._delay + 2.0, self._restart)

    def wait(self) -> None:
        """Return when everything that was begun has happened."""
        for timer in self._timers:
            timer.join()

    def _start_timer(self, seconds: float, action: Callable[[], None]) -> None:
        self._timers.append(Timer(seconds, action))
        self._timers[-1].start()


def _collect_all_garbage(target: Target) -> None:
    with hold_lease(target, SETTINGS.write.lease_seconds) as lease:
        collect_garbage(target, target.open_ledger(), SETTINGS.write, lease)
        sweep_leftovers(target, lease)


def _build_search_row(name: str, client: int) -> SourceRow:
    vector = make_unit_rows(1, DIMENSION, int(name[1:]))[0].tolist()
    content = {"query_id": name, "query_vector": vector, "client": f"c{client}", "shown": [1, 2, 3]}
    return SourceRow("searches", 0, "", content)


def _to_structs(ids: Sequence[int], vectors: Float32) -> list[PointStruct]:
    return [
        PointStruct(id=point, vector=row.tolist(), payload={"page": point})
        for point, row in zip(ids, vectors, strict=True)
    ]
