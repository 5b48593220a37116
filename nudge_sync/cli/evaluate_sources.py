"""Where `evaluate` takes its task from: files, a dataset by name, or a collection's feedback."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from nudge_sync.base.progress import Progress
from nudge_sync.cli.run import open_job
from nudge_sync.errors import ConfigError
from nudge_sync.evaluate.sources.files import TaskFiles, read_task
from nudge_sync.evaluate.task import EvaluationTask
from nudge_sync.metrics import MetricName
from nudge_sync.solve.problem import Similarity

DEFAULT_METRIC: MetricName = "ndcg@10"


class TaskSource(Protocol):
    """Something that a task can be loaded from."""

    def load_task(
        self, similarity: Similarity | None, progress: Progress
    ) -> tuple[EvaluationTask, MetricName]:
        """Return the task, and the metric to choose by where no option names one.

        Raises InputError, and ConfigError where an option is missing.
        """


@dataclass(frozen=True)
class FileSource:
    """A folder with files of the usual names, or each file by itself."""

    directory: Path | None
    documents: Path | None
    document_ids: Path | None
    queries: Path | None
    query_ids: Path | None
    qrels: Path | None

    def is_given(self) -> bool:
        """Return whether any of these options was given."""
        return any(vars(self).values())

    def load_task(
        self, similarity: Similarity | None, progress: Progress
    ) -> tuple[EvaluationTask, MetricName]:
        """Return the task in the files. Raises InputError, ConfigError."""
        del progress
        task = read_task(self._choose_files(), self._choose_name(), similarity or "dot")
        return task, DEFAULT_METRIC

    def _choose_name(self) -> str:
        return self.directory.resolve().name if self.directory else str(self.documents)

    def _choose_files(self) -> TaskFiles:
        if self.directory is not None:
            if any(path for name, path in vars(self).items() if name != "directory"):
                raise ConfigError("say a directory or --documents, --queries and --qrels, not both")
            return TaskFiles.from_folder(self.directory)
        if self.documents is None or self.queries is None or self.qrels is None:
            raise ConfigError("evaluating files needs --documents, --queries and --qrels")
        return TaskFiles(
            self.documents, self.queries, self.qrels, self.document_ids, self.query_ids
        )


@dataclass(frozen=True)
class DatasetSource:
    """A dataset in words, by name or folder, and what embeds it."""

    dataset: str
    model: str
    cache: Path | None

    def load_task(
        self, similarity: Similarity | None, progress: Progress
    ) -> tuple[EvaluationTask, MetricName]:
        """Return the task, embedded unless the cache has it. Raises InputError, ConfigError."""
        folder = self._find_or_embed(progress)
        name = f"{self.dataset} by {self.model}"
        task = read_task(TaskFiles.from_folder(folder), name, similarity or "dot")
        return task, DEFAULT_METRIC

    def _find_or_embed(self, progress: Progress) -> Path:
        from nudge_sync.evaluate.sources import beir, embedding

        path = Path(self.dataset)
        cache = self.cache or get_default_cache()
        name = path.name if path.is_dir() else self.dataset
        folder = embedding.find_embedded_dataset(cache, name, self.model)
        if folder is not None:
            return folder
        model = embedding.load_fastembed_model(self.model)
        texts = (
            beir.load_dataset_folder(path)
            if path.is_dir()
            else beir.load_named_dataset(self.dataset)
        )
        return embedding.embed_dataset(texts, model, cache, progress)


def get_default_cache() -> Path:
    """Return nudge-sync's folder in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nudge-sync"


@dataclass(frozen=True)
class CollectionSource:
    """A collection of the configuration, and its own feedback."""

    config: Path
    collection: str | None
    exact: bool

    def load_task(
        self, similarity: Similarity | None, progress: Progress
    ) -> tuple[EvaluationTask, MetricName]:
        """Return the task, and the metric that the collection's settings choose by.

        The similarity is the collection's own. Raises ConfigError, InputError, DatabaseError.
        """
        from nudge_sync.evaluate.sources.collection import build_collection_task
        from nudge_sync.feedback.judgements import load_judgements
        from nudge_sync.planning.cold_documents import resolve_cold_share

        del similarity
        with open_job(self.config, self.collection) as job:
            judgements = load_judgements(job.target, job.settings, progress)
            task = build_collection_task(
                job.target,
                judgements,
                read_all=self.exact,
                exact=job.settings.solver.exact,
                progress=progress,
            )
            share = resolve_cold_share(job.settings.solver, judgements.cold_share)
            task = replace(task, cold_share=None if share is None else share.share)
            return task, job.settings.solver.metric


def choose_source(
    files: FileSource, dataset: DatasetSource | None, collection: CollectionSource
) -> TaskSource:
    """Return the source that was asked for: files, a dataset, or else the collection.

    Raises ConfigError where both files and a dataset were named.
    """
    if files.is_given() and dataset is not None:
        raise ConfigError("say files or --dataset, not both")
    return files if files.is_given() else dataset or collection
