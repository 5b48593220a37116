"""Where a task comes from, as far as no database and no model is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nudge_sync.base.progress import ignore_progress
from nudge_sync.cli.evaluate_sources import (
    CollectionSource,
    DatasetSource,
    FileSource,
    choose_source,
    get_default_cache,
)
from nudge_sync.errors import ConfigError

NO_FILES = FileSource(None, None, None, None, None, None)
DATASET = DatasetSource("beir/nfcorpus", "model", None)
COLLECTION = CollectionSource(Path("nudge-sync.toml"), None, exact=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "documents.npy", np.eye(3, dtype=np.float32))
    np.save(tmp_path / "queries.npy", np.eye(3, dtype=np.float32)[:2])
    (tmp_path / "qrels.tsv").write_text("0\t0\t1\n1\t1\t1\n", encoding="utf-8")
    return tmp_path


def test_files_or_a_dataset_come_before_the_collection(folder: Path):
    files = FileSource(folder, None, None, None, None, None)
    assert choose_source(files, None, COLLECTION) is files
    assert choose_source(NO_FILES, DATASET, COLLECTION) is DATASET
    assert choose_source(NO_FILES, None, COLLECTION) is COLLECTION
    with pytest.raises(ConfigError, match="not both"):
        choose_source(files, DATASET, COLLECTION)


def test_a_folder_is_read_by_the_usual_names(folder: Path):
    source = FileSource(folder, None, None, None, None, None)
    task, metric = source.load_task("cosine", ignore_progress)
    assert (task.name, task.similarity, metric) == (folder.name, "cosine", "ndcg@10")
    assert (len(task.documents), len(task.queries)) == (3, 2)


def test_files_may_be_named_one_by_one(folder: Path):
    documents = folder / "documents.npy"
    source = FileSource(None, documents, None, folder / "queries.npy", None, folder / "qrels.tsv")
    task, _ = source.load_task(None, ignore_progress)
    assert (task.name, task.similarity) == (str(documents), "dot")


def test_embedded_sets_are_kept_in_the_users_cache(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert get_default_cache() == tmp_path / "nudge-sync"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert get_default_cache() == Path.home() / ".cache" / "nudge-sync"
