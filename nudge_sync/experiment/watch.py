"""A thread that keeps the experiment of a collection in memory, as the sidecar last stated it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeAlias

from nudge_sync.base.debug import format_logged_error
from nudge_sync.experiment.loading import LoadedExperiment, drop_changed_points, load_experiment
from nudge_sync.store.experiments.running import read_running_experiment
from nudge_sync.store.target import Target

TargetOpener: TypeAlias = Callable[[], AbstractContextManager[Target]]
"""Opens the collection for one look; what it opened stays or goes as the opener sees fit."""
STALE_AFTER_LOOKS = 5
"""An experiment that could not be confirmed for as many looks is no longer shown to anybody."""
_LOGGER = logging.getLogger("nudge_sync.experiment")


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How often a process looks at what the sidecar states, and how much it holds."""

    refresh_seconds: float = 30.0
    """Between two looks at which experiment runs."""
    check_seconds: float = 600.0
    """Between two looks for points that the application deleted or embedded again."""
    max_overlay_bytes: int = 2**29
    """The most memory that the vectors of an overlay may take."""


class ExperimentWatcher:
    """The experiment that runs on a collection, loaded in the background and replaced whole.

    Nothing here raises: what goes wrong is in `last_error`, and after some failures in a row there
    is no experiment any more. A forked child starts a thread of its own when it first asks.
    """

    def __init__(self, open_target: TargetOpener, settings: WatchSettings) -> None:
        self._open_target, self._settings = open_target, settings
        self.last_error = ""
        self.failures = 0
        """How many looks failed."""
        self.reset()

    def reset(self) -> None:
        """Forget the thread and what it loaded, at the start and in a forked child."""
        self._loaded: LoadedExperiment | None = None
        self._confirmed_at = self._checked_at = 0.0
        self._looked, self._closing = threading.Event(), threading.Event()
        self._start_lock, self._look_lock = threading.Lock(), threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> LoadedExperiment | None:
        """The experiment to take part in, or None: there is none, or it is not known."""
        if self._thread is None:
            self.start()
        loaded = self._loaded
        if loaded is None or time.monotonic() - self._confirmed_at > self._stale_seconds:
            return None
        return loaded

    def start(self) -> None:
        """Start the thread, unless it runs."""
        with self._start_lock:
            if self._thread is None and not self._closing.is_set():
                thread = threading.Thread(
                    target=self._run, name="nudge-sync-experiment", daemon=True
                )
                thread.start()
                self._thread = thread

    def wait(self, timeout: float) -> bool:
        """Wait for the first look, at most `timeout` seconds; return whether it succeeded."""
        self.start()
        self._looked.wait(timeout)
        return self._confirmed_at > 0

    def close(self, timeout: float) -> None:
        """Stop the thread, waiting `timeout` seconds at most; then there is no experiment."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout)
        self._loaded = None

    def refresh(self) -> None:
        """Look once, in the calling thread."""
        try:
            with self._look_lock, self._open_target() as target:
                self._look(target)
        except Exception as error:  # noqa: BLE001 - whatever a client raises, searches go on
            self.failures += 1
            message = f"{type(error).__name__}: {error}"
            if message != self.last_error:
                summary = format_logged_error(error)
                _LOGGER.warning("the experiment could not be read: %s", summary)
            self.last_error = message
        self._looked.set()

    @property
    def _stale_seconds(self) -> float:
        return self._settings.refresh_seconds * STALE_AFTER_LOOKS

    def _run(self) -> None:
        while not self._closing.is_set():
            self.refresh()
            self._closing.wait(self._settings.refresh_seconds)

    def _look(self, target: Target) -> None:
        running = read_running_experiment(target)
        if running is None:
            self._loaded = None
        elif self._loaded is None or self._loaded.running != running:
            # Not the old one meanwhile: what it compared may be changing by now.
            self._loaded = None
            self._replace(load_experiment(target, running, self._settings.max_overlay_bytes))
        elif time.monotonic() - self._checked_at > self._settings.check_seconds:
            self._replace(drop_changed_points(target, self._loaded))
        self._confirmed_at = time.monotonic()

    def _replace(self, loaded: LoadedExperiment) -> None:
        self._checked_at = time.monotonic()
        self._loaded = loaded
