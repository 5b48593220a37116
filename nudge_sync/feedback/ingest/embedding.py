"""Embedding of searches that come with a text and no vector, by the application's function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from nudge_sync.errors import ConfigError, InputError
from nudge_sync.feedback.ingest.seen_keys import SeenKeys
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.schema.rows import (
    get_query_id,
    get_query_text,
    has_event_fields,
    has_vector,
)
from nudge_sync.feedback.schema.values import BadRow

_ROW_BATCH_SIZE = 1000
_TEXT_BATCH_SIZE = 256
_CACHE_SIZE = 100_000
_MISSING_VECTOR = BadRow("missing field", "a search needs query_vector, or a text to embed")
EmbeddingFunction: TypeAlias = Callable[[list[str]], Any]


@dataclass(slots=True)
class Embedder:
    """Calls a function from n texts to vectors (n, d), once for each text and in batches."""

    name: str
    function: EmbeddingFunction
    _vectors: dict[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def from_name(cls, name: str) -> Embedder:
        """Return an embedder with the function that `name` names as `module:function`.

        The module is looked for in the current directory first. Raises ConfigError if it cannot
        be imported or has no such function.
        """
        module, _, attributes = name.partition(":")
        if not module or not attributes:
            raise ConfigError(f"{name!r} names no function; write module:name")
        working_directory = str(Path.cwd())
        if working_directory not in sys.path:
            sys.path.insert(0, working_directory)
        try:
            value: Any = import_module(module)
            for attribute in attributes.split("."):
                value = getattr(value, attribute)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{name!r} cannot be imported: {reason}") from error
        if not callable(value):
            raise ConfigError(f"{name!r} is no function, but {type(value).__name__}")
        return cls(name, value)

    def embed(self, texts: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """Return a mapping that has the vector (d,) of each of `texts`.

        Raises InputError if the function fails or returns an array of another shape.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if len(self._vectors) + len(new) > _CACHE_SIZE:
            self._vectors.clear()
            new = list(dict.fromkeys(texts))
        for start in range(0, len(new), _TEXT_BATCH_SIZE):
            batch = new[start : start + _TEXT_BATCH_SIZE]
            self._vectors.update(zip(batch, self._call_function(batch), strict=True))
        return self._vectors

    def _call_function(self, texts: list[str]) -> NDArray[Any]:
        try:
            vectors = np.asarray(self.function(list(texts)), dtype=np.float64)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"{self.name} failed on {len(texts)} texts: {reason}") from error
        if vectors.ndim != 2 or len(vectors) != len(texts):  # noqa: PLR2004
            raise InputError(
                f"{self.name} gave an array of shape {vectors.shape} for {len(texts)} texts; "
                f"({len(texts)}, d) is expected"
            )
        return vectors


def embed_source(source: Source, embedder: Embedder) -> Source:
    """Return the rows of `source`, where each search without a vector gets that of its text.

    A search that has no text either is a bad row. The row of an event makes a search too, if it
    has the query's text, and no row before it told of that query. Reading raises InputError as
    `Embedder.embed` does.
    """

    def read_rows() -> Iterator[SourceRow]:
        remaining, seen_query_ids = source.read_rows(), SeenKeys()
        while batch := [
            _select_text(row, seen_query_ids) for row in islice(remaining, _ROW_BATCH_SIZE)
        ]:
            vectors = embedder.embed([text for _, text in batch if text])
            yield from [_add_vector(row, vectors[text]) if text else row for row, text in batch]

    return replace(source, read_rows=read_rows)


def _select_text(row: SourceRow, seen_query_ids: SeenKeys) -> tuple[SourceRow, str]:
    """Return the row and the text to embed, which is "" if nothing is to be embedded."""
    content = row.content
    if isinstance(content, BadRow) or content.get("type") == "event":
        return row, ""
    try:
        text = get_query_text(content)
        is_event = has_event_fields(content)
        is_new = bool(text or not is_event) and seen_query_ids.add(get_query_id(content))
    except BadRow as bad:
        return replace(row, content=bad), ""
    if has_vector(content):
        return row, ""
    if is_event:
        return row, text if is_new or content.get("shown") else ""
    return (row, text) if text else (replace(row, content=_MISSING_VECTOR), "")


def _add_vector(row: SourceRow, vector: NDArray[Any]) -> SourceRow:
    content = cast(Mapping[str, Any], row.content)
    return replace(row, content={**content, "query_vector": vector}, is_embedded=True)
