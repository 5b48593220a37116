"""Revisions: the ledger as a timeline, one revision, and any two beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from nudge_sync.console.context import CollectionName, Console, ConsoleDependency
from nudge_sync.console.guards import VisitorDependency
from nudge_sync.console.rendering import render_page
from nudge_sync.console.summaries import flatten_summary
from nudge_sync.console.tables import TableRequest, cut_page
from nudge_sync.store.ledger import Revision, find_head, find_restorable_revisions
from nudge_sync.store.upkeep.audit import read_audit_lines

revisions_router = APIRouter()
SHOWN_AUDIT_LINES = 50
"""The newest actions that are listed below the revisions."""
SOMEBODY = "somebody"
"""What a person is called who gave no name."""


@dataclass(frozen=True, slots=True)
class FieldPair:
    """One field of two revisions beside each other."""

    field: str
    left: Any
    right: Any


@revisions_router.get("/c/{name}/revisions")
def show_revisions(
    request: Request,
    name: CollectionName,
    console: ConsoleDependency,
    _visitor: VisitorDependency,
    page: int = 1,
) -> Response:
    """Show the ledger, newest first."""
    with console.opener.open_target(name) as target:
        entries, audit_lines = target.open_ledger().entries(), read_audit_lines(target)
    table = cut_page(
        entries[::-1], TableRequest(page=page), sort_keys={}, get_text=lambda entry: entry.kind
    )
    keep = console.opener.get_settings(name).write.keep_revisions
    return render_page(
        request,
        "revisions.html.j2",
        title="Revisions",
        collection=name,
        section="revisions",
        table=table,
        head=find_head(entries),
        restorable=set(find_restorable_revisions(entries, keep)),
        asked_by={line.revision: line.by or SOMEBODY for line in audit_lines if line.revision},
        audit_lines=audit_lines[: -SHOWN_AUDIT_LINES - 1 : -1],
        audit_line_count=len(audit_lines),
    )


@revisions_router.get("/c/{name}/revisions/compare")
def compare_revisions(
    request: Request,
    name: CollectionName,
    console: ConsoleDependency,
    _visitor: VisitorDependency,
    left: int = 0,
    right: int = 0,
) -> Response:
    """Show two revisions beside each other."""
    entries = {entry.number: entry for entry in _read_entries(console, name)}
    pair = [entries.get(left), entries.get(right)]
    chosen = [entry for entry in pair if entry is not None]
    if len(chosen) != len(pair):
        raise HTTPException(404, "choose two revisions that are in the ledger")
    return render_page(
        request,
        "revision_pair.html.j2",
        title="Two revisions",
        collection=name,
        section="revisions",
        left=chosen[0],
        right=chosen[1],
        rows=compare_summaries(*(entry.summary() for entry in chosen)),
    )


@revisions_router.get("/c/{name}/revisions/{number}")
def show_revision(
    request: Request,
    name: CollectionName,
    console: ConsoleDependency,
    _visitor: VisitorDependency,
    number: int,
) -> Response:
    """Show one revision: what it did, and the plan it carried out."""
    with console.opener.open_target(name) as target:
        entries, audit_lines = target.open_ledger().entries(), read_audit_lines(target)
    entry = next((entry for entry in entries if entry.number == number), None)
    if entry is None:
        raise HTTPException(404, "the ledger has no revision of this number")
    summary = entry.summary()
    plan = summary.pop("plan", {})
    return render_page(
        request,
        "revision.html.j2",
        title=f"Revision {number}",
        collection=name,
        section="revisions",
        entry=entry,
        is_live=number == find_head(entries),
        audit_line=next((line for line in audit_lines if line.revision == number), None),
        fields=flatten_summary(summary),
        plan_fields=flatten_summary(plan),
    )


def compare_summaries(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[FieldPair]:
    """Return every field that either has; of nested ones each leaf."""
    flat_left, flat_right = flatten_summary(left), flatten_summary(right)
    names = dict.fromkeys([*flat_left, *flat_right])
    return [FieldPair(name, flat_left.get(name), flat_right.get(name)) for name in names]


def _read_entries(console: Console, name: str) -> list[Revision]:
    with console.opener.open_target(name) as target:
        return target.open_ledger().entries()
