"""Where `evaluate` takes its task from: files, a set by name, or a collection's own feedback."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from nudge_sync.base.progress import Progress
from nudge_sync.cli.run import open_workspace, select_collections
from nudge_sync.errors import ConfigError
from nudge_sync.evaluate.sources.files import TaskFiles, read_task
from nudge_sync.evaluate.task import EvaluationTask
from nudge_sync.metrics import MetricName
from nudge_sync.solve.problem import Similarity


@dataclass(frozen=True)
class FileSource:
    """A folder with the usual names, or each file by itself."""

    directory: Path | None
    documents: Path | None
    document_ids: Path | None
    queries: Path | None
    query_ids: Path | None
    qrels: Path | None

    def is_given(self) -> bool:
        """Whether any option of this kind was given."""
        return any(vars(self).values())

    def load_task(self, similarity: Similarity | None) -> EvaluationTask:
        """The task. Raises InputError, and ConfigError where an option is missing."""
        if self.directory is None:
            return read_task(self._build_files(), str(self.documents), similarity or "dot")
        if any(path for name, path in vars(self).items() if name != "directory"):
            raise ConfigError("say a directory or --documents, --queries and --qrels, not both")
        name = self.directory.resolve().name
        return read_task(TaskFiles.from_folder(self.directory), name, similarity or "dot")

    def _build_files(self) -> TaskFiles:
        if self.documents is None or self.queries is None or self.qrels is None:
            raise ConfigError("evaluating files needs --documents, --queries and --qrels")
        return TaskFiles(
            self.documents, self.queries, self.qrels, self.document_ids, self.query_ids
        )


@dataclass(frozen=True)
class DatasetSource:
    """A set in words, by name or folder, and what embeds it."""

    dataset: str
    model: str
    cache: Path | None

    def load_task(self, similarity: Similarity | None, progress: Progress) -> EvaluationTask:
        """The task, embedded unless the cache has it. Raises InputError, ConfigError."""
        from nudge_sync.evaluate.sources import beir, embedding

        path = Path(self.dataset)
        cache = self.cache or get_default_cache()
        folder = embedding.find_embedded_dataset(
            cache, path.name if path.is_dir() else self.dataset, self.model
        )
        if folder is None:
            model = embedding.load_fastembed_model(self.model)
            texts = (
                beir.load_dataset_folder(path)
                if path.is_dir()
                else beir.load_named_dataset(self.dataset)
            )
            folder = embedding.embed_dataset(texts, model, cache, progress)
        return read_task(
            TaskFiles.from_folder(folder), f"{self.dataset} by {self.model}", similarity or "dot"
        )


def get_default_cache() -> Path:
    """The user's cache folder for nudge-sync."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nudge-sync"


@dataclass(frozen=True)
class CollectionSource:
    """A collection of the configuration."""

    config: Path
    collection: str | None
    exact: bool

    def load_task(self, progress: Progress) -> tuple[EvaluationTask, MetricName]:
        """The task, and the metric that the collection's settings choose by."""
        from nudge_sync.evaluate.sources.collection import build_collection_task
        from nudge_sync.feedback.judged import load_collection_judgements

        with open_workspace(self.config) as workspace:
            name = select_collections(workspace.config, self.collection, all_collections=False)[0]
            job = workspace.open_job(name)
            judgements = load_collection_judgements(job.target, job.settings, progress)
            task = build_collection_task(
                job.target,
                judgements,
                read_all=self.exact,
                exact=job.settings.solver.exact,
                progress=progress,
            )
            return task, job.settings.solver.metric
