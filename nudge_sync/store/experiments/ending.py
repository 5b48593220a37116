"""How a canary ended: what the ledger keeps of it with the revision."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from nudge_sync.store import schema

EndingVerdict: TypeAlias = Literal["promote", "harm", "inconclusive", "stopped"]
"""promote: its vectors are to be written.  harm: it was surely worse.  inconclusive: no conclusion
in the time it had.  stopped: by a person, or because what it compared was about to change."""


@dataclass(frozen=True)
class Ending:
    """Why a canary ended, and what it had seen by then."""

    __pydantic_config__ = schema.FORBID_EXTRA

    verdict: EndingVerdict
    reason: Annotated[str, Field(max_length=1000)]
    at: schema.TimestampMs
    by: Annotated[str, Field(max_length=500)] = ""
    """Who ended it; empty: nudge-sync, by its evidence."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """The figures at that time, as `canary status --json` shows them."""

    def replaces(self, stored: Ending | None) -> bool:
        """Whether the ledger shall say this, where it says `stored` of a canary not yet ended.

        What really becomes of it counts, not what was decided first, as by a process that was
        killed. Harm that was shown stays, unless it is written all the same: it is not tried again.
        """
        if stored is None:
            return True
        is_kept_harm = stored.verdict == "harm" and self.verdict != "promote"
        return stored.verdict != self.verdict and not is_kept_harm
