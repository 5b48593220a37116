"""Revisions that the ledger has lost: a backup of it was restored, older than what is beside it.

Their numbers would be given a second time, and the vectors that they wrote be taken for the
application's. So whoever writes refuses, until the ledger is that of the other collections again,
or a rollback to the originals enters them anew.
"""

from __future__ import annotations

import math
from collections import Counter

from nudge_sync.errors import DamagedRecord
from nudge_sync.store import schema
from nudge_sync.store.ledger import Ledger, Revision
from nudge_sync.store.shadow import OriginalsByPoint
from nudge_sync.store.target import Target


def refuse_lost_revisions(
    target: Target, entries: list[Revision], originals: OriginalsByPoint
) -> None:
    """Raise DamagedRecord if there are records of revisions later than the ledger's last.

    entries: the ledger's. originals: those that the caller has read; the history is asked with one
    count. A cycle that runs beside is no reason: it enters its revision before it stores anything.
    """
    highest = _find_highest_revision(target, entries, originals)
    if not entries and not highest:
        # The caller may have read the originals of some points alone.
        highest = min(1, target.shadow.records.count())
    if highest > _find_last_number(entries):
        entries = target.open_ledger().entries()
    if highest > _find_last_number(entries):
        raise DamagedRecord(_describe_lost_revisions(target, entries, highest))


def adopt_lost_revisions(target: Target, ledger: Ledger, originals: OriginalsByPoint) -> None:
    """Enter every revision that the ledger has lost as superseded, for a rollback to the originals.

    So the vectors that they wrote are known, and their numbers are not given again. Call it with
    the lease held. originals: all of the shadow's. Raises DamagedRecord, LeaseLost.
    """
    last = _find_last_number(ledger.entries())
    row_counts = _count_later_rows(target, last)
    stored_at = {one.revision for versions in originals.values() for one in versions}
    for number in sorted({*row_counts, *(number for number in stored_at if number > last)}):
        ledger.adopt_entry(number, row_counts[number])


def _find_last_number(entries: list[Revision]) -> int:
    return entries[-1].number if entries else 0


def _find_highest_revision(
    target: Target, entries: list[Revision], originals: OriginalsByPoint
) -> int:
    """Return the highest number of a record of `originals` or of the history; 0 if none is later.

    The history is read only where it holds more than the ledger knows.
    """
    later_rows = _count_later_rows(target, _find_last_number(entries))
    stored_at = (one.revision for versions in originals.values() for one in versions)
    return max(max(stored_at, default=0), max(later_rows, default=0))


def _count_later_rows(target: Target, last: int) -> Counter[int]:
    """Return how many rows the history holds of each revision later than `last`."""
    counts: Counter[int] = Counter()
    history, is_later = target.history, {"revision": (last + 1, math.inf)}
    if history.records.count(is_later):
        for batch in history.records.scan(is_later, vectors=False):
            records = schema.validate_records(
                batch, history.collection_name, schema.HistoryDocument, vectors=False
            )
            counts.update(record.document["revision"] for record in records)
    return counts


def _describe_lost_revisions(target: Target, entries: list[Revision], highest: int) -> str:
    remedy = (
        "Restore it from a backup as recent as the others, or go back without it: `nudge-sync "
        "rollback --originals`, with --drifted also to points whose vector nobody knows. Nothing "
        "was written"
    )
    if not entries:
        return (
            f'"{target.ledger_name}" is empty although "{target.shadow.collection_name}" or '
            f'"{target.history.collection_name}" is not. {remedy}'
        )
    return (
        f'"{target.ledger_name}" ends with revision {entries[-1].number} although '
        f'"{target.shadow.collection_name}" or "{target.history.collection_name}" holds records '
        f"of revision {highest}: a backup of it was restored that is older than they are. {remedy}"
    )
