"""The table [compute]: where the solver's independent tasks run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nudge_sync.connector.settings import Section


class ComputeSettings(Section):
    """Where the solver's independent tasks run; what comes out is the same, bit for bit."""

    engine: Literal["local", "dask"] = "local"
    """"local": in this process, one after the other; "dask": on the workers of a Dask cluster."""
    address: str = ""
    """The scheduler of a cluster that runs already, such as tls://scheduler:8786; "": a cluster on
    this machine, which lasts as long as the work of one cycle."""
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    """Processes of a cluster on this machine; 0: one for each core."""
