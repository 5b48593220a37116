"""A set of texts embedded into a folder of vectors, once; later runs find the folder on disk."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32
from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.errors import ConfigError, InputError, NudgeSyncError
from nudge_sync.evaluate.sources.beir import TextDataset, TextItem

EmbedFunction: TypeAlias = Callable[[Iterable[str]], Iterable[NDArray[Any]]]
"""Yields a vector, (d,), for each text, in order."""
_DOCUMENTS_PER_SHARD = 20_000


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A model that embeds texts; many embed queries differently from documents."""

    name: str
    documents: EmbedFunction
    queries: EmbedFunction


def load_fastembed_model(name: str, threads: int | None = None) -> EmbeddingModel:
    """Load the model that fastembed calls `name`; fastembed downloads it at first use.

    Raises ConfigError where fastembed is not installed, InputError where it knows no such model,
    NudgeSyncError where the model cannot be downloaded.
    """
    try:
        from fastembed import TextEmbedding  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "embedding texts needs more packages; install them with: pip install 'nudge-sync[beir]'"
        ) from error
    supported = {model["model"] for model in TextEmbedding.list_supported_models()}
    if name.lower() not in {model_name.lower() for model_name in supported}:
        near = get_close_matches(name, supported, n=3, cutoff=0.3)
        raise InputError(f"fastembed knows no model {name!r}; near are {', '.join(near) or 'none'}")
    try:
        model = TextEmbedding(model_name=name, threads=threads)
    except (ValueError, OSError, RuntimeError) as error:
        raise NudgeSyncError(f"model {name!r} could not be loaded: {error}") from error
    return EmbeddingModel(name, model.passage_embed, model.query_embed)


def find_embedded_dataset(cache: Path, dataset: str, model: str) -> Path | None:
    """Return the folder that `embed_dataset` made earlier, if there is one."""
    folder = _cache_folder(cache, dataset, model)
    return folder if folder.is_dir() else None


def _cache_folder(cache: Path, dataset: str, model: str) -> Path:
    return cache / _to_file_name(dataset) / _to_file_name(model)


def embed_dataset(
    texts: TextDataset, model: EmbeddingModel, cache: Path, progress: Progress = ignore_progress
) -> Path:
    """Embed the set, unless that was done before; return the folder with the result.

    It holds vectors, ids and judgements, in the files that `evaluate DIRECTORY` reads. An
    interrupted run goes on after the last 20,000 documents; the folder appears whole or not at
    all.
    Raises InputError for an id with a tab or a line break, and for vectors of uneven length.
    """
    folder = _cache_folder(cache, texts.name, model.name)
    if folder.is_dir():
        return folder
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    ids = [_check_id(id_) for id_, _ in texts.documents()]
    _embed_documents(texts, ids, model, partial, progress)
    _write_lines(partial / "documents.txt", ids)
    _write_lines(partial / "queries.txt", [_check_id(id_) for id_, _ in texts.queries])
    np.save(partial / "queries.npy", _embed_texts(model.queries, texts.queries, "queries"))
    document_ids = set(ids)
    qrels = [qrel for qrel in texts.qrels if qrel[1] in document_ids]
    _write_lines(partial / "qrels.tsv", (f"{q}\t{d}\t{grade:g}" for q, d, grade in qrels))
    left_out = len(texts.qrels) - len(qrels)
    description = {"dataset": texts.name, "model": model.name, "left_out": left_out}
    (partial / "about.json").write_text(json.dumps(description), encoding="utf-8")
    shutil.rmtree(partial / "shards")
    return partial.rename(folder)


def _embed_documents(
    texts: TextDataset, ids: list[str], model: EmbeddingModel, partial: Path, progress: Progress
) -> None:
    """Embed the documents in shards, so that a run of days can be interrupted, then join them."""
    shards = partial / "shards"
    shards.mkdir(exist_ok=True)
    documents = texts.documents()
    starts = range(0, len(ids), _DOCUMENTS_PER_SHARD)
    for start in starts:
        progress("embed", start, len(ids))
        shard = list(islice(documents, _DOCUMENTS_PER_SHARD))
        file = shards / f"{start}.npy"
        if not file.exists():
            _save_atomically(file, _embed_texts(model.documents, shard, "documents"))
    progress("embed", len(ids), len(ids))
    _join_shards([shards / f"{start}.npy" for start in starts], len(ids), partial / "documents.npy")


def _embed_texts(embed: EmbedFunction, texts: Iterable[TextItem], kind: str) -> Float32:
    rows = [np.asarray(row, dtype=np.float32) for row in embed(text for _, text in texts)]
    if not rows or any(row.shape != rows[0].shape or row.ndim != 1 for row in rows):
        raise InputError(f"the model gave no vectors of one length for the {kind}")
    return np.stack(rows)


def _save_atomically(file: Path, vectors: Float32) -> None:
    # The next run must not take a shard that was cut short for a whole one.
    unfinished = file.with_suffix(".unfinished.npy")
    np.save(unfinished, vectors)
    unfinished.replace(file)


def _join_shards(shards: Iterable[Path], count: int, file: Path) -> None:
    start, joined = 0, None
    for shard in shards:
        vectors = np.load(shard, allow_pickle=False)
        if joined is None:
            shape = (count, vectors.shape[1])
            joined = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
        if vectors.shape[1] != joined.shape[1] or start + len(vectors) > count:
            raise InputError(f"{shard}: does not fit the rest; remove {shard.parent}")
        joined[start : start + len(vectors)] = vectors
        start += len(vectors)
    if joined is None or start != count:
        raise InputError(f"{file.parent}: {start} of {count} documents; remove it and start again")
    joined.flush()


def _to_file_name(name: str) -> str:
    """Return the name as a file name: readable, without separators or a leading dot."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "unnamed"


def _check_id(id_: str) -> str:
    if not id_ or any(mark in id_ for mark in "\t\r\n"):
        raise InputError(f"id {id_!r} is empty or holds a tab or a line break; rename it")
    return id_


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
