"""Moves the vectors of a live collection towards the queries they answered, and back.

Public besides the names below, each imported by its own path:

nudge_sync.errors       everything that is raised on purpose
nudge_sync.connector    the contract of a connector, and `connect`, which opens a database
nudge_sync.testing      the conformance kit for connectors, and databases to try things on
nudge_sync.langchain    a LangChain retriever that logs its searches
nudge_sync.llama_index  a LlamaIndex retriever that logs its searches
nudge_sync.nudge_ft     the classes of the package nudge-ft, without torch

All other modules may change at any time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nudge_sync.experiment.experiment import Experiment
    from nudge_sync.feedback_log import FeedbackLog
    from nudge_sync.tuning.finetune import Fit, finetune
    from nudge_sync.tuning.query_adapter import QueryAdapter

__all__ = ["Experiment", "FeedbackLog", "Fit", "QueryAdapter", "finetune"]

_HOMES = {
    "Experiment": "nudge_sync.experiment.experiment",
    "FeedbackLog": "nudge_sync.feedback_log",
    "Fit": "nudge_sync.tuning.finetune",
    "QueryAdapter": "nudge_sync.tuning.query_adapter",
    "finetune": "nudge_sync.tuning.finetune",
}


def __getattr__(name: str) -> Any:
    # Imported when first asked for: SciPy takes a third of a second, and most verbs never solve.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
