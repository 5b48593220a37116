"""Clearing up as the verb `gc` and a canary's end do: with the lease held."""

from __future__ import annotations

from nudge_sync.config import WriteSettings
from nudge_sync.store.experiments.candidate import drop_candidate
from nudge_sync.store.lease import hold_lease
from nudge_sync.store.target import Target
from nudge_sync.store.upkeep.gc import collect_garbage, sweep_leftovers

LEASE_SECONDS = 30


def collect(target: Target, settings: WriteSettings) -> int:
    """Collect garbage, and return how many records that were."""
    with hold_lease(target, LEASE_SECONDS) as lease:
        return collect_garbage(target, target.open_ledger(), settings, lease)


def sweep(target: Target) -> int:
    """Sweep what was abandoned, and return how many records that were."""
    with hold_lease(target, LEASE_SECONDS) as lease:
        return sweep_leftovers(target, lease)


def drop(target: Target) -> int:
    """Drop the candidate, and return how many records that were."""
    with hold_lease(target, LEASE_SECONDS) as lease:
        return drop_candidate(target, lease)
