"""The executor that the settings ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nudge_sync.base.executor import LOCAL, Executor
from nudge_sync.base.progress import Progress
from nudge_sync.base.threads import count_cores
from nudge_sync.errors import ConfigError
from nudge_sync.settings.compute import ComputeSettings

_HERE = "this machine"


@contextmanager
def open_executor(
    settings: ComputeSettings, threads: int, progress: Progress
) -> Iterator[Executor]:
    """Return the executor of [compute], for as long as the block runs; no worker outlives it.

    threads: that each task computes on, 0 for as many as this machine has cores.
    progress: is called while workers compute, and may raise to give up.
    Raises ConfigError where the extra is not installed, and ComputeFailed.
    """
    if settings.engine == "local":
        yield LOCAL
        return
    # Imported here: Dask is an extra.
    try:
        from nudge_sync.compute.dask_cluster import (  # noqa: PLC0415
            connect_to_cluster,
            start_cluster,
        )
        from nudge_sync.compute.dask_executor import DaskExecutor  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f'engine = "dask" of [compute] lacks a package ({error}); '
            "install it with: pip install 'nudge-sync[dask]'"
        ) from error
    cluster = (
        connect_to_cluster(settings.address)
        if settings.address
        else start_cluster(settings.workers or count_cores(), progress)
    )
    with cluster as client:
        yield DaskExecutor(client, settings.address or _HERE, threads or count_cores(), progress)
