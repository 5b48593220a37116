"""A canary: a plan that some sessions see in their results before anything is written.

A revision is a "candidate" while its canary runs. Its vectors stand in the candidate's own
collection, which applications lay over what they find; the user's collection is not touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nudge_sync.connector import PointId
from nudge_sync.errors import AwaitsCanary
from nudge_sync.planning.held_out import HeldOutQueries, measure_live_scores
from nudge_sync.planning.plan import Plan, PlanRows
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.copies import refuse_fewer_copies
from nudge_sync.store.experiments.candidate import drop_candidate, scan_candidate, stage_candidate
from nudge_sync.store.experiments.ending import Ending
from nudge_sync.store.experiments.running import (
    RunningExperiment,
    end_experiment,
    start_experiment,
)
from nudge_sync.store.hold import refuse_hold
from nudge_sync.store.ledger import Revision, find_candidate, find_head, now_ms
from nudge_sync.store.provenance import refuse_partial_history
from nudge_sync.store.target import Target
from nudge_sync.store.upkeep.gc import delete_unused_history
from nudge_sync.writing.experiments import end_canary, end_experiments, store_ending
from nudge_sync.writing.two_phase import Tally, Writer, WriteSet
from nudge_sync.writing.write_plan import WrittenRevision, choose_rows, describe_plan, write_entry


def refuse_running_canary(writer: Writer) -> None:
    """Raise AwaitsCanary if a canary runs, or one has ended but for what follows from it."""
    entry = find_candidate(writer.ledger.entries())
    if entry is not None:
        raise AwaitsCanary(
            f'a canary tries revision {entry.number} on "{writer.target.facts.collection}", and '
            "nothing else is written until it ends: `nudge-sync canary status`, `canary promote`, "
            "`canary stop`"
        )


def start_canary(
    writer: Writer, plan: Plan, settings: CanarySettings, erasures: int | None
) -> WrittenRevision:
    """Let applications show the plan's vectors to some sessions, as a new revision's candidate.

    erasures: as in `RevisionDetails`.
    Rows that changed since the plan was made are left out, and counted as drifted or missing. A
    process that is killed leaves a candidate that is complete, or a revision that wrote nothing.
    Raises OnHold, WriteNotVerified, LeaseLost, DatabaseError.
    """
    target = writer.target
    write_set, tally = choose_rows(writer, plan.rows)
    if not len(write_set):
        return WrittenRevision(tally=tally)
    end_experiments(writer, "a canary starts")
    details = {
        **describe_plan(plan, write_set, erasures),
        "live": None,
        "canary": settings.model_dump(mode="json"),
        "staged": len(write_set),
    }
    parent = find_head(writer.ledger.entries())
    entry = writer.ledger.add_entry("apply", parent, None, details)
    # Another process that took the lease may have a candidate of its own there.
    writer.lease.confirm()
    stage_candidate(
        target,
        entry.number,
        write_set.ids,
        vectors=write_set.vectors,
        replaced=write_set.live_vectors,
        originals=write_set.originals,
        progress=writer.progress,
    )
    refuse_hold(target)
    writer.lease.confirm()
    entry = writer.ledger.set_state(entry, "candidate")
    show_candidate(target, entry)
    return WrittenRevision(entry, tally)


def show_candidate(target: Target, entry: Revision) -> RunningExperiment:
    """Let applications know of the candidate `entry`; again, it changes nothing."""
    settings = read_canary_settings(entry)
    return start_experiment(
        target,
        "canary",
        entry.number,
        settings.share,
        mode=settings.mode,
        unit=settings.unit,
        rows=entry.details.staged,
    )


@dataclass(frozen=True)
class Promotion:
    """A candidate that may be written now, and what that needs."""

    entry: Revision
    write_set: WriteSet
    """The rows that still hold what they held when the canary began."""
    tally: Tally
    """Of the others, which are left alone."""
    held_out: HeldOutQueries
    live_scores: dict[str, float]
    """What the held-out queries find before the write."""


def prepare_promotion(writer: Writer, entry: Revision, held_out: HeldOutQueries) -> Promotion:
    """Return what `promote_canary` needs, after everything that may keep it from writing.

    Changes nothing, so that a canary whose promotion is refused goes on as it was.
    Raises OnHold, DamagedRecord where points of the candidate, history of what is live or originals
    are gone, InputError where a row is turned further than the settings allow by now,
    UnsupportedCollection where originals have fewer copies than the collection, DiskFull,
    DatabaseError.
    """
    target, solver = writer.target, writer.settings.solver
    refuse_hold(target)
    refuse_partial_history(target, writer.ledger.entries())
    refuse_fewer_copies(target, allow_fewer=writer.settings.write.allow_fewer_copies)
    write_set, tally = choose_rows(writer, _read_rows(writer, entry))
    live_scores: dict[str, float] = {}
    if len(write_set):
        live_scores = measure_live_scores(
            target, held_out, exact=solver.exact, progress=writer.progress
        )
    return Promotion(entry, write_set, tally, held_out, live_scores)


def promote_canary(writer: Writer, promotion: Promotion, ending: Ending) -> WrittenRevision:
    """Write the candidate's vectors to the collection, and measure them on the live index.

    ending: says why it is promoted; where that was decided before, what was said then stays. Where
    no row is left to write, the revision is abandoned.
    Raises what `write_revision` raises; until the first row is written, it can be prepared and
    called again.
    """
    target, write_set, held_out = writer.target, promotion.write_set, promotion.held_out
    if not len(write_set):
        nothing_left = Ending("stopped", "its points all changed or went meanwhile", now_ms())
        return WrittenRevision(end_canary(writer, promotion.entry, nothing_left), promotion.tally)
    # From here on whoever comes after a crash writes it.
    writer.lease.confirm()
    entry = store_ending(writer, promotion.entry, ending)
    end_experiment(target)
    # What a promotion that was interrupted has staged may be of other rows.
    delete_unused_history(target, entry.number, writer.lease)
    entry = writer.ledger.add_details(
        entry, rows=len(write_set), live=promotion.live_scores, held_out=held_out.digest()
    )
    written = write_entry(writer, entry, write_set, promotion.tally, held_out)
    drop_candidate(target, writer.lease)
    return written


def start_holdback(target: Target, head: int, settings: CanarySettings) -> RunningExperiment:
    """Let applications show some sessions the originals of what revision `head` moved."""
    return start_experiment(
        target,
        "holdback",
        head,
        settings.holdback_share,
        mode=settings.mode,
        unit=settings.unit,
    )


def read_canary_settings(entry: Revision) -> CanarySettings:
    """Return the settings that the canary of `entry` was started with.

    Settings that only a later version knows are left out.
    """
    known = CanarySettings.model_fields
    stored: dict[str, Any] = entry.details.canary
    return CanarySettings.model_validate({k: v for k, v in stored.items() if k in known})


def _read_rows(writer: Writer, entry: Revision) -> PlanRows:
    """Return the candidate's rows, as those of a plan. Raises DamagedRecord.

    Rows of another dimension are left out: the collection was made anew meanwhile.
    """
    target = writer.target
    ids: list[PointId] = []
    vectors: list[Any] = []
    live_digests: list[str] = []
    for records in scan_candidate(target, entry.number, entry.details.staged):
        writer.lease.renew()
        for record in records:
            if record.vector is None or len(record.vector) != target.facts.dimension:
                continue
            ids.append(record.document["id"])
            vectors.append(record.vector)
            live_digests.append(record.document["replaced"])
    stacked = np.array(vectors, np.float32).reshape(len(ids), target.facts.dimension)
    return PlanRows(ids, stacked, live_digests, angles=[0.0] * len(ids))
