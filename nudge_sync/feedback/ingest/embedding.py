"""Searches that have a text and no vector, embedded by a function of the application's."""

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
from nudge_sync.feedback.ingest.sources import Row, Source
from nudge_sync.feedback.schema.rows import BadRow, lacks_vector, text_of

_ROWS = 1000
_TEXTS = 256
_KEPT = 100_000
_ABSENT = BadRow("missing field", "a search needs query_vector, or a text to embed")
Function: TypeAlias = Callable[[list[str]], Any]


@dataclass(slots=True)
class Embedding:
    """A function from texts (n) to vectors (n, d), asked once a text and for many at a time."""

    name: str
    function: Function
    _known: dict[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def named(cls, name: str) -> Embedding:
        """The function `module:name`; the current directory is looked in first.

        Raises ConfigError.
        """
        module, _, attributes = name.partition(":")
        if not module or not attributes:
            raise ConfigError(f"{name!r} names no function; write module:name")
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            found: Any = import_module(module)
            for attribute in attributes.split("."):
                found = getattr(found, attribute)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{name!r} cannot be imported: {reason}") from error
        if not callable(found):
            raise ConfigError(f"{name!r} is no function, but {type(found).__name__}")
        return cls(name, found)

    def vectors(self, texts: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """Text -> vector (d,). Raises InputError where the function fails or gives no (n, d)."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if len(self._known) + len(new) > _KEPT:
            self._known.clear()
            new = list(dict.fromkeys(texts))
        for start in range(0, len(new), _TEXTS):
            asked = new[start : start + _TEXTS]
            self._known.update(zip(asked, self._embedded(asked), strict=True))
        return self._known

    def _embedded(self, texts: list[str]) -> NDArray[Any]:
        try:
            found = np.asarray(self.function(list(texts)), dtype=np.float64)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"{self.name} failed on {len(texts)} texts: {reason}") from error
        if found.ndim != 2 or len(found) != len(texts):  # noqa: PLR2004
            raise InputError(
                f"{self.name} gave an array of shape {found.shape} for {len(texts)} texts; "
                f"({len(texts)}, d) is expected"
            )
        return found


def embedded(source: Source, embedding: Embedding) -> Source:
    """The rows of `source`; a search that has no vector gets that of its text."""

    def rows() -> Iterator[Row]:
        remaining = source.rows()
        while batch := [_asked(row) for row in islice(remaining, _ROWS)]:
            vectors = embedding.vectors([text for _, text in batch if text])
            yield from [_with_vector(row, vectors[text]) if text else row for row, text in batch]

    return replace(source, rows=rows)


def _asked(row: Row) -> tuple[Row, str]:
    """The row and the text to embed: empty where there is nothing to do, or no text."""
    content = row.content
    if isinstance(content, BadRow) or not lacks_vector(content):
        return row, ""
    try:
        text = text_of(content)
    except BadRow as bad:
        return replace(row, content=bad), ""
    return (row, text) if text else (replace(row, content=_ABSENT), "")


def _with_vector(row: Row, vector: NDArray[Any]) -> Row:
    content = cast(Mapping[str, Any], row.content)
    return replace(row, content={**content, "type": "search", "query_vector": vector})
