"""Embedding of texts in batches, each text once, and no more of them than a run may embed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nudge_sync.errors import InputError, NudgeSyncError

_CACHE_SIZE = 100_000
"""Texts whose vectors are remembered."""
_PLAIN_TEXT = "query"
"""What any model embeds."""
EmbeddingFunction: TypeAlias = Callable[[list[str]], Any]


class TextsRefused(InputError):
    """The model does not take these texts, such as one that is too long; others it may take."""


@dataclass(slots=True)
class Embedder:
    """Calls a function from n texts to vectors (n, d), once for each text and in batches."""

    name: str
    """What messages call it, and what is stored beside the vectors."""
    function: EmbeddingFunction
    names_model: bool = False
    """Whether equal names are equal models, so that a stored vector of the name can be used."""
    batch_size: int = 256
    max_texts: int | None = None
    """Texts that are embedded at most; None: any number."""
    count: int = 0
    """Texts that were embedded."""
    is_spent: bool = False
    """Whether a text was left because there were `max_texts` before."""
    refusals: dict[str, str] = field(default_factory=dict)
    """Text -> why the model does not take it."""
    _vectors: dict[str, NDArray[Any]] = field(default_factory=dict)

    def embed(self, texts: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """Return a mapping that has the vector (d,) of each of `texts`.

        Those in `refusals` are not in it, and those beyond `max_texts`, which set `is_spent`.
        Raises InputError if the function fails or returns an array of another shape, and
        SourceUnreachable where an endpoint does not answer.
        """
        new = self._list_new(texts)
        if len(self._vectors) + len(new) > _CACHE_SIZE:
            self._vectors.clear()
            new = self._list_new(texts)
        if self.max_texts is not None and len(new) > self.max_texts - self.count:
            new, self.is_spent = new[: self.max_texts - self.count], True
        for start in range(0, len(new), self.batch_size):
            self._embed_batch(new[start : start + self.batch_size])
        return self._vectors

    def describe_limit(self) -> str:
        """Return what to say where `is_spent`."""
        return (
            f"{self.count:,} texts were embedded by {self.name}, as many as max_texts allows; "
            "the next time goes on from here"
        )

    def _list_new(self, texts: Sequence[str]) -> list[str]:
        known = (self._vectors, self.refusals)
        return [text for text in dict.fromkeys(texts) if not any(text in each for each in known)]

    def _embed_batch(self, texts: list[str]) -> None:
        try:
            vectors = self._call_function(texts)
        except TextsRefused as refusal:
            self._embed_apart(texts, refusal)
        else:
            self._vectors.update(zip(texts, vectors, strict=True))
            self.count += len(texts)

    def _embed_apart(self, texts: list[str], refusal: TextsRefused) -> None:
        """Halve a batch that was refused, until the texts that the model does not take are alone.

        Raises InputError where it does not take any text.
        """
        if len(texts) == 1:
            try:
                self._call_function([_PLAIN_TEXT])
            except TextsRefused as error:
                raise InputError(str(error)) from error
            self.refusals[texts[0]] = str(refusal)
            return
        middle = len(texts) // 2
        self._embed_batch(texts[:middle])
        self._embed_batch(texts[middle:])

    def _call_function(self, texts: list[str]) -> NDArray[Any]:
        try:
            vectors = np.asarray(self.function(list(texts)), dtype=np.float64)
        except NudgeSyncError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"{self.name} failed on {len(texts)} texts: {reason}") from error
        if vectors.ndim != 2 or len(vectors) != len(texts):  # noqa: PLR2004
            raise InputError(
                f"{self.name} gave an array of shape {vectors.shape} for {len(texts)} texts; "
                f"({len(texts)}, d) is expected"
            )
        return vectors
