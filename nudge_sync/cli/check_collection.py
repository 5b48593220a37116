"""What `check` says of one collection."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.cli.run import Job
from nudge_sync.feedback.cold_share import ColdShare
from nudge_sync.feedback.coverage import measure_coverage
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.planning.cold_documents import resolve_cold_share
from nudge_sync.planning.fifths import count_evidence
from nudge_sync.planning.gate import estimate_smallest_gain
from nudge_sync.planning.model_change import ModelReport, examine_model
from nudge_sync.planning.point_quality import inspect_judged_points
from nudge_sync.store import lease
from nudge_sync.store.copies import CopiesReport, read_copies
from nudge_sync.store.hold import format_refusal, read_hold
from nudge_sync.store.ledger import find_head, find_pending_revisions
from nudge_sync.store.rights import find_missing_rights
from nudge_sync.store.target import describe_other_owner, find_problems


def check_collection(job: Job, progress: Progress = ignore_progress) -> dict[str, Any]:
    """Return the facts of a collection, its feedback and ledger, and its problems and notes.

    Problems are what would be refused; notes are worth knowing. Raises DatabaseError,
    DamagedRecord.
    """
    target = job.target
    copies = read_copies(target)
    ledger = target.open_ledger()
    entries = ledger.entries()
    holder = lease.read_active_lease(target)
    logged = open_feedback(target, job.settings.feedback)
    hold = read_hold(target)
    counts = {"queries": logged.queries.count(), "events": logged.events.count()}
    judgements = load_judgements(target, job.settings, progress)
    model = examine_model(target, job.settings, judgements, ledger)
    quality = inspect_judged_points(target, judgements)
    coverage = measure_coverage(judgements, target.facts.points)
    cold_share = resolve_cold_share(job.settings.solver, judgements.cold_share)
    gate = job.settings.gate
    evidence_count, fifths = count_evidence(judgements, gate.min_queries)
    smallest_gain = estimate_smallest_gain(evidence_count, gate.confidence, fifths)
    facts = {key: value for key, value in asdict(target.facts).items() if key != "problems"}
    return {
        "facts": facts,
        "feedback": counts,
        "evidence": coverage.summary(),
        "cold": None if cold_share is None else asdict(cold_share),
        "held_out": {
            "queries": evidence_count,
            "fifths": fifths,
            "smallest_gain": smallest_gain,
        },
        "originals": target.shadow.records.count(),
        "revision": find_head(entries),
        "unfinished": [entry.number for entry in find_pending_revisions(entries)],
        "lease": holder.describe() if holder else None,
        "hold": hold.summary() if hold else None,
        "copies": copies.summary() if copies else None,
        "model": model.summary(),
        "vectors": quality.summary(),
        "problems": [
            *_list_problems(job, copies),
            *filter(None, [describe_other_owner(target, entries), model.refusal]),
        ],
        "notes": [
            str(coverage),
            *_list_gain_notes(evidence_count, smallest_gain),
            *([format_refusal(target, hold)] if hold else []),
            *(copies.list_notes() if copies else []),
            *quality.list_notes(target.facts.metric),
            *_list_model_notes(model),
            *_list_notes(job, counts["queries"], bool(find_pending_revisions(entries))),
        ],
    }


def _list_gain_notes(evidence_count: int, smallest_gain: float | None) -> list[str]:
    if smallest_gain is None:
        return []
    note = (
        f"{evidence_count} held-out queries can show a mean gain of about "
        f"{100 * smallest_gain:.1f} points or more; a smaller one is refused until there are more"
    )
    return [note]


def _list_model_notes(model: ModelReport) -> list[str]:
    if not model.former_searches or model.refusal:
        return []
    note = (
        f"{model.former_searches} searches of a former embedding model are set aside until they "
        "are embedded again (`nudge-sync feedback import --embed`)"
    )
    return [note]


def _list_problems(job: Job, copies: CopiesReport | None) -> list[str]:
    problems = [*find_problems(job.target.facts), *find_missing_rights(job.target)]
    if copies is not None and not job.settings.write.allow_fewer_copies:
        problems += copies.find_problems()
    metric = job.target.facts.metric
    if job.settings.solver.method == "nudge-m" and metric != "dot":
        problems.append(
            f"nudge-m changes lengths, which a {metric} collection does not keep; "
            'set solver.method = "nudge-n" or "auto"'
        )
    return problems


def _list_notes(job: Job, query_count: int, has_unfinished: bool) -> list[str]:
    if not job.target.facts.points:
        return ["the collection is empty: there is nothing to do until the application fills it"]
    notes = []
    needed = job.settings.gate.min_queries
    if query_count < needed:
        notes.append(
            f"{query_count} searches logged; the gate wants {needed} held-out ones "
            "(gate.min_queries), so it will refuse: see `nudge-sync feedback import --help`"
        )
    if resolve_cold_share(job.settings.solver, ColdShare()) is None:
        notes.append(
            "neither the choice nor the gate looks at answers without feedback "
            '(solver.cold_share is "off")'
        )
    if has_unfinished:
        notes.append("a revision is unfinished; the next cycle or `nudge-sync resume` ends it")
    return notes
